"""Measures this service against the usual ways to do the same, and makes tables of the results."""

import argparse
import importlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from service.benchmark.records import append, read, table
from service.config.arguments import Parser
from service.config.errors import ConfigurationError

# Each is a module of service.benchmark, imported when it measures: help and tables are there at
# once. Several libraries are fast only if nothing else runs, so `all` gives each its own process.
MEASUREMENTS = {
    "masks": ("masks", "masks to run lengths, against torchvision and pycocotools"),
    "coco-evaluation": ("coco_evaluation", "COCO's figures, against pycocotools"),
    "checkpoint": ("checkpoints", "how long training waits, against torch.save"),
    "pictures": ("pictures", "JPEG to views on one core, against torchvision with Pillow"),
    "loader": ("loader", "batches from loading processes, against torchvision's and timm's"),
    "scan": ("scan", "listing pictures again, against ImageFolder"),
    "start": ("start", "from a command to its first training step"),
    "limits": (
        "limits",
        "what limits a recipe here: the cores that prepare pictures, or the device",
    ),
    "step": ("steps", "a training step under the service, against a bare loop"),
    "logging": ("step_logging", "five metrics a step over HTTP, against MLflow's own logging"),
    "regularizers": ("regularizers", "ShakeDrop's time and memory, against the plain network"),
    "shakedrop-ports": ("shakedrop_ports", "ShakeDrop, against public ports' formulation"),
    "precision": ("precision", "training.precision=auto, against fp32"),
    "overlap": ("overlap", "how much of the exchange of gradients hides behind the backward pass"),
    "gpu": ("gpu", "training on a GPU: pictures a second, use of the device, memory, waits"),
    "cifar-pictures": ("cifar_pictures", "small pictures to views, against torchvision"),
}


def main(arguments: Sequence[str]) -> int:
    """Measures, prints and records, or prints a table; returns the exit status."""
    name = next(iter(arguments), "")
    parser = _parser(measuring=name if name in MEASUREMENTS else None)
    try:
        options = parser.parse_args(arguments)
        status: int = options.run(options)
    except ConfigurationError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return status


def _measure(options: argparse.Namespace) -> int:
    for record in options.module.measure(options):
        print(record, flush=True)
        if options.output is not None:
            append(record, options.output)
    return 0


def _all(options: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory() as folder:
        output = options.output or Path(folder) / "benchmark.jsonl"
        before = len(read(output)) if output.exists() else 0
        names = [name for name in MEASUREMENTS if _possible(name)]
        failed = [name for name in names if _measured_apart(name, output, options.quick)]
        print(f"\n{table(read(output)[before:])}" if output.exists() else "")
    if failed:
        print(f"error: not measured: {', '.join(failed)}; see above", file=sys.stderr)
    return 1 if failed else 0


def _possible(name: str) -> bool:
    """Tells whether this machine has what a measurement needs."""
    if name != "gpu":
        return True
    import torch  # a table of records needs none of it

    return torch.cuda.is_available()


def _measured_apart(name: str, output: Path, quick: bool) -> int:
    """Measures in a process of its own; returns its exit status."""
    shorter = _module(name).QUICK if quick else ()
    command = [sys.executable, __file__, name, *shorter, "--output", str(output)]
    return subprocess.run(command, check=False).returncode  # noqa: S603


def _report(options: argparse.Namespace) -> int:
    print(table(read(options.file)))
    return 0


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"service.benchmark.{MEASUREMENTS[name][0]}")


def _parser(measuring: str | None) -> Parser:
    parser = Parser(
        "Measures this service against the usual ways to do the same.",
        "python pipelines/benchmark.py all --quick --output benchmark.jsonl",
    )
    parts = parser.add_subparsers(
        dest="what", required=True, parser_class=argparse.ArgumentParser, metavar="WHAT"
    )
    for name, (_, summary) in MEASUREMENTS.items():
        part = parts.add_parser(name, help=summary, description=f"Measures {summary}.")
        _takes_output(part)
        if name == measuring:
            module = _module(name)
            module.add_arguments(part)
            part.set_defaults(run=_measure, module=module)
    everything = parts.add_parser("all", help="all that this machine can measure, and a table")
    everything.add_argument("--quick", action="store_true", help="smaller, in under ten minutes")
    _takes_output(everything)
    everything.set_defaults(run=_all)
    report = parts.add_parser("report", help="a table of recorded measurements")
    report.add_argument("file", type=Path, help="what --output wrote")
    report.set_defaults(run=_report)
    return parser


def _takes_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", type=Path, help="file to which a JSON line is added")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
