"""A bounded run of the fuzzer; by hand it runs as long as one likes: see `run.py`."""

import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).with_name("run.py")
REAL = Path(__file__).resolve().parents[3] / "shared/data"


def fuzzed(*options: str) -> str:
    """Returns what the fuzzer prints; it must find nothing."""
    done = subprocess.run([sys.executable, RUN, *options], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_damaged_files_are_read_or_refused_without_crash_hang_or_growth() -> None:
    told = fuzzed("--pictures", "300", "--annotations", "300")
    assert "pictures: 300 read" in told
    assert "annotations: 300 read" in told


@pytest.mark.slow
@pytest.mark.shared_data
@pytest.mark.skipif(not REAL.is_dir(), reason="there are no real pictures beside the checkout")
def test_damaged_real_files_are_too() -> None:
    told = fuzzed("--pictures", "200", "--annotations", "200", "--data", str(REAL), "--seed", "1")
    assert "pictures: 200 read" in told


def test_a_crash_a_hang_and_an_exception_are_found(tmp_path: Path) -> None:
    """The watch itself: three readers that do what must not happen, at their second file."""
    for harm, told in (
        ("os.abort()", "status -6"),
        ("time.sleep(60)", "hung for 2 s"),
        ("1 / 0", "ZeroDivisionError"),
    ):
        (tmp_path / "harmful.py").write_text(
            "import os, sys, time, types\n"
            f"sys.path.insert(0, {str(RUN.parent)!r})\n"
            "class Harmful:\n"
            "    def __init__(self, data, scratch): self.count = 0\n"
            "    def mutant(self, generator): return generator.bytes(4)\n"
            "    def outcome(self, content):\n"
            "        self.count += 1\n"
            f"        if self.count == 2: {harm}\n"
            "        return 'read'\n"
            "sys.modules['targets'] = types.SimpleNamespace(TARGETS={'harmful': Harmful})\n"
            "import run\n"
            "run.__file__ = __file__\n"
            "sys.exit(run.main())\n"
        )
        done = subprocess.run(
            [sys.executable, tmp_path / "harmful.py", "--harmful", "3", "--patience", "2"],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1, done.stdout + done.stderr
        assert "FOUND in number 1: " in done.stdout
        assert told in done.stdout
