"""Loading processes that die or hang: noticed, and told in one line."""

import signal
import threading
from collections.abc import Iterator, Sequence
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import TypeVar

B = TypeVar("B")

_SECONDS_TO_DIE = 1.0  # between a signal, or the end of a process's connections, and its own end
_OUT_OF_MEMORY = frozenset({signal.SIGKILL, signal.SIGBUS})


class LoadingError(RuntimeError):
    """Loading processes died or hang; another attempt may fare better."""


class Supervision:
    """Draws batches that other processes make, and ends the wait where none will come.

    A process that died is noticed by torch, within five seconds. One that hangs is killed, which
    torch then notices: nothing else ends a wait for what a stopped process has announced.

    Args:
        processes: The loading processes; none where batches are made in this one.
        limit: Seconds to wait for a batch; None for no bound.
    """

    def __init__(self, processes: Sequence[BaseProcess], limit: float | None) -> None:
        self._processes = processes
        self._limit = limit
        self._hung = False
        self._drawn = 0
        self._waiting = False
        self._closing = threading.Event()
        if processes and limit is not None:
            threading.Thread(target=self._watch, args=(limit,), name="loading", daemon=True).start()

    def draw(self, batches: Iterator[B]) -> B:
        """Returns the next batch.

        Raises:
            StopIteration: There are no more.
            LoadingError: A loading process died, or they took too long.
        """
        self._waiting = True
        try:
            return next(batches)
        except StopIteration:
            raise
        except Exception as error:
            reason = self._reason()
            if reason is None:
                raise
            raise LoadingError(reason) from error
        finally:
            self._waiting = False
            self._drawn += 1

    def close(self) -> None:
        """Ends what is left: a process that hangs does not end when it is asked to."""
        self._closing.set()
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.join(_SECONDS_TO_DIE)

    def _watch(self, limit: float) -> None:
        """Kills the processes once a draw has taken too long.

        Counted in short waits: time in which this process itself was stopped does not count.
        """
        tick = min(1.0, limit / 4)
        drawn, waited = 0, 0.0
        while not self._closing.wait(tick):
            same = self._waiting and self._drawn == drawn
            drawn, waited = self._drawn, waited + tick if same else 0.0
            if waited >= limit:
                self._hung = True
                for process in self._processes:
                    process.kill()
                return

    def _reason(self) -> str | None:
        """Returns what became of the loading processes; None if nothing did."""
        if self._hung:
            return (
                f"no batch came for {self._limit:g} seconds (data.loading_timeout): the loading "
                "processes hang, perhaps because the storage of the pictures does; see whether it "
                "can be read, or raise data.loading_timeout"
            )
        wait([process.sentinel for process in self._processes], _SECONDS_TO_DIE)
        dead = [process for process in self._processes if process.exitcode is not None]
        return _obituary(dead[0]) if dead else None


def _obituary(process: BaseProcess) -> str:
    """Returns how a loading process ended, and what to do."""
    code = process.exitcode or 0
    if code >= 0:
        end, remedy = f"ended with status {code}", "set data.loading_processes=0 to see why"
    elif -code in _OUT_OF_MEMORY:
        end = f"was ended by {signal.Signals(-code).name}"
        remedy = (
            "likely out of memory (/dev/shm or RAM): lower data.loading_processes or "
            "data.prefetch_batches"
        )
    else:
        end = f"was ended by {signal.Signals(-code).name}"
        remedy = "set data.loading_processes=0 to see where it happens"
    return f"a loading process (pid {process.pid}) {end}; {remedy}"
