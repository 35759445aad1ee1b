"""`pipelines/prepare.py`."""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from service.config.arguments import Parser, fraction, parsed, positive
from service.config.data import FolderDataConfig
from service.config.errors import ConfigurationError
from service.config.failures import refuse, report
from service.data.pictures import PictureSet, digest
from service.data.preparing.ledger import Ledger
from service.data.preparing.manifest import MANIFEST, complete
from service.data.preparing.running import SkippedInPreparation, parts_of, write_parts
from service.data.preparing.shard import Part, Rewriting, Written
from service.data.progress import Progress
from service.data.splits import open_encoded
from service.storage.atomic import whole_file

_EXAMPLE = "python pipelines/prepare.py /data/imagenet /data/imagenet-256 --short-side 256"


def prepare(arguments: Sequence[str]) -> int:
    """Does what a command line asks for.

    Returns:
        The exit status: 0 if the output is complete, 1 if the work failed, 2 for input that cannot
        be used.
    """
    try:
        return _prepare(_parse(arguments))
    except ConfigurationError as error:
        return refuse(error)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    except Exception as error:
        return report(error, "the preparation")


def _prepare(options: argparse.Namespace) -> int:
    how = Rewriting(options.short_side, options.quality, options.on_error == "skip")
    with TemporaryDirectory() as cache:
        splits = open_encoded(options.source, Path(cache))
    sources: dict[str, PictureSet] = {"train": splits.train, "val": splits.evaluation}
    plan = {
        "short side": how.short_side,
        "quality": how.quality,
        **{f"{name} pictures of digest": digest(source) for name, source in sources.items()},
    }
    if _is_complete(options.output, plan):
        print(f"{options.output} is complete already")
        return 0
    ledger = Ledger(options.output)
    with ledger.opened(plan):
        written = _write_all(options, sources, ledger, how)
        complete(options.output, sources, written, how, plan)
        ledger.close()
    print(_summary(options.output, [one for split in written.values() for one in split]))
    return 0


def _is_complete(output: Path, plan: Mapping[str, object]) -> bool:
    """Returns whether an earlier call has made just this."""
    try:
        made = json.loads((output / MANIFEST).read_text(encoding="utf-8"))
        return bool(made["plan"] == plan)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _write_all(
    options: argparse.Namespace,
    sources: Mapping[str, PictureSet],
    ledger: Ledger,
    how: Rewriting,
) -> dict[str, list[Written]]:
    """Writes what is not there yet; returns what all shards hold, in their order."""
    output: Path = options.output
    with whole_file(output / "classes.json") as partial:
        partial.write_text(json.dumps(sources["train"].classes), encoding="ascii")
    parts = [part for name, source in sources.items() for part in parts_of(name, len(source))]
    done: dict[Part, Written] = {}
    for part in parts:
        (output / part.split).mkdir(exist_ok=True)
        if (before := ledger.finished(part)) is not None:
            done[part] = before
    left = [part for part in parts if part not in done]
    total = sum(map(len, sources.values()))
    there = sum(part.end - part.first for part in done)
    print(
        f"{total} pictures to {output}: short side {how.short_side}, quality {how.quality}, "
        f"processes: {options.processes}" + (f"; {there} are there already" if there else ""),
        flush=True,
    )
    with Progress(total - there) as progress:
        skipped = SkippedInPreparation(total, options.max_skipped_fraction, progress.line)
        for before in done.values():
            skipped.add(before)
        for part, written in write_parts(left, sources, output, how, options.processes):
            ledger.note(part, written)
            done[part] = written
            skipped.add(written)
            progress.add(part.end - part.first)
    return {name: [done[part] for part in parts if part.split == name] for name in sources}


def _summary(output: Path, written: Sequence[Written]) -> str:
    pictures = sum(one.pictures for one in written)
    changed = sum(one.rewritten for one in written)
    skipped = sum(len(one.skipped) for one in written)
    before, after = (sum(sizes) / 2**20 for sizes in _sizes(written))
    return (
        f"{pictures} pictures verified: {changed} resized, {pictures - changed} as they were, "
        f"{skipped} skipped; {before:.1f} MiB became {after:.1f} MiB\n"
        f"train on them: python pipelines/imagenet.py data.root={output}"
    )


def _sizes(written: Sequence[Written]) -> tuple[list[int], list[int]]:
    return [one.source_size for one in written], [one.size for one in written]


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    fields = FolderDataConfig.model_fields
    made = Parser("Rewrites pictures once, smaller, so that training reads them faster.", _EXAMPLE)
    made.add_argument("source", type=Path, help="folder with train/ and val/: classes or shards")
    made.add_argument("output", type=Path, help="folder of the result; a killed call goes on there")
    made.add_argument(
        "--short-side",
        type=positive,
        default=256,
        metavar="PIXELS",
        help="pictures with a longer shorter side are resized to it (256)",
    )
    made.add_argument("--quality", type=_quality, default=90, help="of the JPEGs, 1 to 100 (90)")
    made.add_argument(
        "--processes", type=positive, default=_cores(), help="that work at once (all cores)"
    )
    made.add_argument(
        "--on-error",
        choices=("fail", "skip"),
        default=fields["on_error"].default,
        help="a picture that cannot be used: end, or leave it out (fail)",
    )
    most = fields["max_skipped_fraction"].default
    made.add_argument(
        "--max-skipped-fraction",
        type=fraction,
        default=most,
        metavar="SHARE",
        help=f"largest share of the pictures that may be left out ({most})",
    )
    return parsed(made, arguments)


def _quality(text: str) -> int:
    number = positive(text)
    if number > 100:
        raise argparse.ArgumentTypeError(f"{text} is more than 100")
    return number


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
