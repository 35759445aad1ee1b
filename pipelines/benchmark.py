"""Measures this service against the usual ways to do the same, and makes tables of the results."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from service.benchmark.records import Record, append, read, table
from service.config.errors import ConfigurationError

# Each subcommand imports what it measures when it runs: a table is there at once.

_SEED = 0


def main(arguments: Sequence[str]) -> int:
    """Measures, prints and records, or prints a table; returns the exit status."""
    options = _parse(arguments)
    try:
        if options.what == "report":
            print(table(read(options.file)))
            return 0
        for record in options.measure(options):
            print(record, flush=True)
            if options.output is not None:
                append(record, options.output)
    except ConfigurationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _evaluation(options: argparse.Namespace) -> Iterator[Record]:
    from service.benchmark.coco_evaluation import Kind, measure_evaluation
    from service.benchmark.scenes import (
        jittered_detections,
        made_up_truth,
        read_truth,
        repeated_truth,
    )

    if options.annotations is None:
        truth = made_up_truth(options.pictures, _SEED)
    else:
        truth = repeated_truth(read_truth(options.annotations), options.pictures)
    kinds: tuple[Kind, ...] = ("box", "mask") if options.kind == "both" else (options.kind,)
    found = jittered_detections(truth, options.detections_per_picture, _SEED, masks="mask" in kinds)
    for kind in kinds:
        yield measure_evaluation(
            truth, found, kind=kind, workers=options.workers, rounds=options.rounds
        )


def _masks(options: argparse.Namespace) -> Iterator[Record]:
    from service.benchmark.masks import measure_masks

    yield measure_masks(
        detections=options.detections,
        height=options.height,
        width=options.width,
        rounds=options.rounds,
    )


def _checkpoint(options: argparse.Namespace) -> Iterator[Record]:
    from service.benchmark.checkpoints import measure_checkpoints

    yield measure_checkpoints(depth=options.depth, rounds=options.rounds)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Measures this service against the usual ways to do the same.",
        epilog="example: python pipelines/benchmark.py masks --output benchmark.jsonl",
    )
    parts = parser.add_subparsers(dest="what", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--rounds", type=_positive, default=5, help="rounds of both ways")
    common.add_argument("--output", type=Path, help="file to which a JSON line is added")

    evaluation = parts.add_parser(
        "coco-evaluation", parents=[common], help="COCO's figures, against pycocotools"
    )
    evaluation.set_defaults(measure=_evaluation)
    evaluation.add_argument("--pictures", type=_positive, default=5000)
    evaluation.add_argument("--detections-per-picture", type=_positive, default=50, help="mean")
    evaluation.add_argument("--workers", type=_positive, default=2)
    evaluation.add_argument("--kind", choices=("box", "mask", "both"), default="both")
    evaluation.add_argument(
        "--annotations",
        type=Path,
        help="COCO annotation file, repeated up to --pictures; without, objects are made up",
    )

    masks = parts.add_parser(
        "masks", parents=[common], help="masks to run lengths, against torchvision and pycocotools"
    )
    masks.set_defaults(measure=_masks)
    masks.add_argument("--detections", type=_positive, default=100)
    masks.add_argument("--height", type=_positive, default=480, help="of the picture, pixels")
    masks.add_argument("--width", type=_positive, default=640, help="of the picture, pixels")

    checkpoint = parts.add_parser(
        "checkpoint", parents=[common], help="how long training waits, against torch.save"
    )
    checkpoint.set_defaults(measure=_checkpoint)
    checkpoint.add_argument("--depth", type=int, choices=(18, 34, 50, 101, 152), default=152)

    report = parts.add_parser("report", help="a table of recorded measurements")
    report.add_argument("file", type=Path, help="what --output wrote")
    return parser.parse_args(arguments)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
