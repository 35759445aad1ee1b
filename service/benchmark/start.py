"""From a command to its first training step: two workers on a cluster of their own, small pictures.

The first start is not counted: it draws the pictures, makes MLflow's tables and brings every file
that Python and Ray read into the machine's memory.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from service.benchmark.arguments import positive
from service.benchmark.goals import at_most
from service.benchmark.records import Record
from service.config.errors import ConfigurationError

QUICK: tuple[str, ...] = ("--rounds", "3")

_TOLD = "start: first step after "
_PIPELINE = Path(__file__).resolve().parents[2] / "pipelines" / "imagenet.py"
_SMALL = (
    "cluster.address=local",
    "data.train_pictures=256",
    "data.evaluation_pictures=64",
    "data.picture_size=32",
    "data.train.size=16",
    "data.evaluation.size=16",
    "data.evaluation.resize=18",
    "model.width=4",
    "model.stem=small",
    "training.batch_size=32",
    "training.log_every=1",
    "training.duration=2st",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds this measurement's options."""
    parser.add_argument("--rounds", type=positive, default=3, help="starts that count")
    parser.add_argument("--workers", type=positive, default=2)


def measure(options: argparse.Namespace) -> Iterator[Record]:
    """Measures as the options say."""
    with tempfile.TemporaryDirectory(prefix="start-") as folder:
        told = [_start(Path(folder), options.workers, n) for n in range(options.rounds + 1)][1:]
    seconds = tuple(float(text.partition(" s: ")[0]) for text in told)
    middle = sorted(zip(seconds, told, strict=True))[len(told) // 2][1]
    yield Record(
        what=f"command to first step, {options.workers} workers",
        peer="",
        ours=seconds,
        peers=(),
        goal=at_most(12),
        agreement=f"where it goes: {middle.partition(' s: ')[2]}",
    )


def _start(folder: Path, workers: int, number: int) -> str:
    """Runs a few steps and returns what the run said of its start.

    Raises:
        ConfigurationError: The run failed.
    """
    command = [sys.executable, str(_PIPELINE), *_SMALL]
    command += [f"storage.path={folder}", f"cluster.num_workers={workers}", f"name=run{number}"]
    # Compiled once and kept, as it is where nothing forbids it.
    compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONUNBUFFERED": "1"}
    done = subprocess.run(  # noqa: S603  # our own program
        command, env=os.environ | compiled, capture_output=True, text=True, check=False
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith(_TOLD)]
    if done.returncode or not lines:
        raise ConfigurationError(f"{' '.join(command)}: {done.stderr.strip() or 'told no start'}")
    return lines[0].removeprefix(_TOLD)
