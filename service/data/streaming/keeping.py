"""Having shards copied to this node while a training reads them."""

import os
import subprocess
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TypeVar

from service.data.streaming.copying import Plan
from service.data.streaming.locks import if_nobody_else

B = TypeVar("B")

_PROGRAM = "service.data.streaming.copying"
_LOOK_AGAIN = 10.0
"""Seconds after which it is seen whether the process that copies for all still lives."""
_LOOK_AT_OURS = 1.0
"""Seconds, likewise for the one that we started."""


def copied_meanwhile(plan: Plan, batches: Generator[B, None, None]) -> Generator[B, None, None]:
    """Yields batches, and has shards copied from the first one to the last.

    One process does it for all trainings of a node on the same data; when it ends early, because
    its training does, another one takes over.
    """
    with _copying(plan):
        yield from batches


@contextmanager
def _copying(plan: Plan) -> Iterator[None]:
    closing = threading.Event()
    watch = threading.Thread(target=_see_to_it, args=(plan, closing), name="shards", daemon=True)
    if plan.most:
        watch.start()
    try:
        yield
    finally:
        closing.set()
        if plan.most:
            watch.join()


def _see_to_it(plan: Plan, closing: threading.Event) -> None:
    """Copies where nobody else does, and looks again where somebody does."""
    lock = plan.folder.with_suffix(".lock")
    try:
        while True:
            with if_nobody_else(lock) as descriptor:
                if descriptor is not None:
                    _copy(plan, descriptor, closing)
                    return
            if closing.wait(_LOOK_AGAIN):
                return
    except OSError as error:
        print(
            f"warning: no shards are kept on this node, all are streamed: {error}", file=sys.stderr
        )


def _copy(plan: Plan, lock: int, closing: threading.Event) -> None:
    """Runs the program that copies; it ends when we do, as its input then does."""
    # What this process can import, that one shall.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    with subprocess.Popen(  # noqa: S603  # our own program
        [sys.executable, "-m", _PROGRAM],
        stdin=subprocess.PIPE,
        env=environment,
        pass_fds=(lock,),
        # Ctrl-C is for the training, which may want to save first.
        start_new_session=True,
        text=True,
    ) as process:
        try:
            print(plan.to_json(), file=process.stdin, flush=True)
        except BrokenPipeError:
            return  # it has told why
        while process.poll() is None and not closing.wait(_LOOK_AT_OURS):
            pass
        process.kill()
