"""Processes that a topology consists of, each with a log; they end together."""

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil


class Processes:
    """Starts processes, waits until they answer, and ends them with all that they started."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._logs.mkdir(parents=True, exist_ok=True)
        self._started: list[tuple[str, psutil.Popen]] = []

    def start(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        cwd: Path,
        user: str | None = None,
    ) -> None:
        """Starts a process; its output goes to `<name>.log`."""
        with (self._logs / f"{name}.log").open("ab") as log:
            process = psutil.Popen(
                list(command),
                env=dict(environment),
                cwd=cwd,
                user=user,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._started.append((name, process))

    def wait(self, what: str, answers: Callable[[], bool], seconds: float = 120) -> float:
        """Waits until something answers.

        Returns:
            The seconds it took.

        Raises:
            RuntimeError: A process ended, or nothing answered in time; with the end of the logs.
        """
        began = time.monotonic()
        while not answers():
            ended = [name for name, process in self._started if process.poll() is not None]
            if ended:
                raise RuntimeError(f"{ended[0]} ended by itself:\n{self.end_of_log(ended[0])}")
            if time.monotonic() - began > seconds:
                last = self._started[-1][0]
                raise RuntimeError(
                    f"no answer within {seconds:g} s: {what}\n{self.end_of_log(last)}"
                )
            time.sleep(0.2)
        return time.monotonic() - began

    def end_of_log(self, name: str) -> str:
        """Returns the last lines that a process wrote."""
        lines = (self._logs / f"{name}.log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-30:])

    def stop(self) -> None:
        """Ends all processes, the last one first, and those that they started."""
        for _, process in reversed(self._started):
            _end(process)
        self._started.clear()


def _end(process: psutil.Popen) -> None:
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        family = [process]
    for member in family:
        _signal(member.terminate)
    _, alive = psutil.wait_procs(family, timeout=15)
    for member in alive:
        _signal(member.kill)
    psutil.wait_procs(alive, timeout=15)


def _signal(send: Callable[[], None]) -> None:
    try:
        send()
    except psutil.NoSuchProcess:
        return
