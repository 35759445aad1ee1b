"""Reads damaged files in a process of its own, and watches it: crashes, hangs, memory.

    python tests/fuzz/run.py --pictures 5000 --annotations 2000 --data ../shared/data

A mutant is known by the seed and its number: `--only NUMBER --keep FOLDER` writes one of them, and
reads it alone. Ends with status 1 if anything was found.
"""

import argparse
import json
import os
import queue
import resource
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
from targets import TARGETS

GROWTH = 64  # MiB that memory may grow between the first tenth of the mutants and the end
PEAK = 2048  # MiB that reading any file may take
START = 300.0  # seconds for a process to begin


class Finding(NamedTuple):
    """Something that must not happen."""

    number: int
    what: str


class Report(NamedTuple):
    """What became of all mutants of one kind."""

    outcomes: Counter[str]
    findings: list[Finding]
    slowest: float
    """Seconds of the slowest mutant."""
    memory: list[float]
    """MiB after each mutant."""
    peak: float
    """Most MiB."""

    def growth(self) -> float:
        """Returns by how many MiB memory grew from the first tenth of the mutants on."""
        tenth = max(1, len(self.memory) // 10)
        before = np.median(self.memory[tenth : 2 * tenth] or self.memory)
        return float(np.median(self.memory[-tenth:]) - before)


def work(options: argparse.Namespace) -> None:
    """Reads mutants and tells about each of them in a line of JSON; the watched process."""
    process = psutil.Process()
    with tempfile.TemporaryDirectory() as scratch:
        target = TARGETS[options.work](options.data, Path(scratch))
        print(json.dumps({"ready": True}), flush=True)
        for number in range(options.first, options.last):
            print(json.dumps({"begun": number}), flush=True)
            content = target.mutant(np.random.default_rng((options.seed, number)))
            if options.keep:
                (options.keep / f"{options.work}-{options.seed}-{number}").write_bytes(content)
            begun = time.monotonic()
            try:
                outcome = target.outcome(content)
            except Exception:
                outcome = "raised\n" + traceback.format_exc()
            told = {
                "number": number,
                "outcome": outcome,
                "seconds": time.monotonic() - begun,
                "memory": process.memory_info().rss / 2**20,
                "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10,
            }
            print(json.dumps(told), flush=True)


def watch(kind: str, options: argparse.Namespace) -> Report:
    """Has all mutants of a kind read, in a new process after each one that ended or hung."""
    report = Report(Counter(), [], 0.0, [], 0.0)
    first, last = options.first, options.last
    while first < last:
        begun = None
        for told in _told(kind, first, last, options):
            if "begun" in told:
                begun = told["begun"]
            elif "number" in told:
                report = _noted(report, told)
                first = told["number"] + 1
            elif "ended" in told and first < last:
                if begun is None:
                    raise SystemExit(f"{kind}: the process could not begin: {told['ended']}")
                report.findings.append(Finding(begun, told["ended"]))
                first = begun + 1
    return report


def _noted(report: Report, told: dict[str, Any]) -> Report:
    outcome, _, detail = told["outcome"].partition("\n")
    report.outcomes[outcome] += 1
    if detail:
        report.findings.append(Finding(told["number"], detail))
    report.memory.append(told["memory"])
    return report._replace(
        slowest=max(report.slowest, told["seconds"]), peak=max(report.peak, told["peak"])
    )


def _told(
    kind: str, first: int, last: int, options: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """Yields what a new process tells, and how it ended; one that is silent too long is killed."""
    command = [sys.executable, "-X", "faulthandler", __file__, "--work", kind]
    command += ["--first", str(first), "--last", str(last), "--seed", str(options.seed)]
    command += ["--data", str(options.data)] if options.data else []
    command += ["--keep", str(options.keep)] if options.keep else []
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=complaints, env=environment
        ) as child,
    ):
        lines: queue.Queue[bytes] = queue.Queue()
        assert child.stdout is not None
        threading.Thread(target=_copy, args=(child.stdout, lines), daemon=True).start()
        patience = START
        while True:
            try:
                line = lines.get(timeout=patience)
            except queue.Empty:
                child.kill()
                yield {"ended": f"hung for {patience:g} s"}
                return
            if not line:
                break
            patience = options.patience
            yield json.loads(line)
        status = child.wait()
        complaints.seek(0)
        yield {"ended": f"status {status}: {complaints.read().decode(errors='replace')[-2000:]}"}


def _copy(stream: Any, lines: "queue.Queue[bytes]") -> None:  # noqa: ANN401  # a pipe
    for line in stream:
        lines.put(line)
    lines.put(b"")


def main() -> int:
    """Runs what the command line asks for; prints figures and findings."""
    options = _parsed()
    if options.work:
        work(options)
        return 0
    bad = 0
    for kind in TARGETS:
        options.last = getattr(options, kind)
        options.first = 0
        if options.only is not None:
            options.first, options.last = options.only, options.only + 1 if options.last else 0
        if options.last:
            bad += _shown(kind, watch(kind, options))
    return min(bad, 1)


def _shown(kind: str, report: Report) -> int:
    """Prints a report; returns how much of it must not be."""
    print(f"{kind}: {sum(report.outcomes.values())} read: {dict(report.outcomes)}")
    growth, begun = report.growth(), min(report.memory, default=0.0)
    taken = report.peak - begun
    print(
        f"  slowest {report.slowest:.2f} s; memory {begun:.0f} MiB, grew by {growth:.0f} MiB "
        f"(bound {GROWTH}), most at once {taken:.0f} MiB more (bound {PEAK})"
    )
    for finding in report.findings:
        print(f"  FOUND in number {finding.number}: {finding.what}")
    return len(report.findings) + (growth > GROWTH) + (taken > PEAK)


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    for kind in TARGETS:
        parser.add_argument(f"--{kind}", type=int, default=0, metavar="COUNT")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, help="folder with real *.jpg and *.json to take too")
    parser.add_argument("--patience", type=float, default=10.0, help="seconds for one file")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="one mutant")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where mutants are written")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--last", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
