"""All shards of a preparation, in this process or in several."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from pathlib import Path

import torch

from service.data.decoding import DamagedPictureError
from service.data.pictures import PictureSet
from service.data.preparing.shard import Part, Rewriting, Written, write_part

_MOST_IN_SHARD = 1000
_FEWEST_IN_SHARD = 50
_SHARDS = 64  # of a small split, so that there is work for several processes


def parts_of(split: str, pictures: int) -> list[Part]:
    """Divides a split into shards, the same ones whoever writes them.

    Args:
        split: Its name.
        pictures: How many it has.
    """
    each = min(_MOST_IN_SHARD, max(_FEWEST_IN_SHARD, pictures // _SHARDS))
    starts = range(0, pictures, each)
    return [
        Part(split, number, first, min(first + each, pictures))
        for number, first in enumerate(starts)
    ]


def write_parts(
    parts: Sequence[Part],
    sources: Mapping[str, PictureSet],
    output: Path,
    how: Rewriting,
    processes: int,
) -> Iterator[tuple[Part, Written]]:
    """Writes shards and yields each when it is in its place.

    Args:
        parts: What is to be written.
        sources: The pictures, by split.
        output: Folder of the splits' folders, which exist.
        how: What is done to each picture.
        processes: Processes that do it; 1 is this one.

    Raises:
        DamagedPictureError: While iterating: a picture cannot be used and may not be skipped.
        OSError: While iterating: a shard cannot be written.
    """
    if processes == 1:
        for part in parts:
            yield part, write_part(part, sources[part.split], output, how)
        return
    context = get_context("spawn")  # a fork of a process with threads may stand still
    given = (dict(sources), output, how)
    with ProcessPoolExecutor(processes, context, _prepare_process, given) as pool:
        futures: dict[Future[Written], Part] = {pool.submit(_write, part): part for part in parts}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


class SkippedInPreparation:
    """Counts what is left out, and ends the work where it is too much.

    Args:
        pictures: Pictures of all splits.
        most: Largest share of them.
        warn: Shows a line.
    """

    def __init__(self, pictures: int, most: float, warn: Callable[[str], None]) -> None:
        self._pictures = pictures
        self._most = most
        self._warn = warn
        self.count = 0

    def add(self, written: Written) -> None:
        """Counts a shard's.

        Raises:
            DamagedPictureError: There are more than allowed.
        """
        for text in written.skipped.values():
            self._warn(f"{text}; skipped")
        self.count += len(written.skipped)
        if self.count > self._most * self._pictures:
            raise DamagedPictureError(
                f"{self.count} of {self._pictures} pictures cannot be used, more than "
                f"--max-skipped-fraction {self._most:g} allows; mend them, or raise it"
            )


_write_here: Callable[[Part], Written] | None = None
"""In a process of the pool: writes a shard. Set once: the pictures' names may take much memory."""


def _prepare_process(sources: Mapping[str, PictureSet], output: Path, how: Rewriting) -> None:
    """Makes a process of the pool ready; it ends when its parent is gone."""
    global _write_here
    torch.set_num_threads(1)
    _write_here = lambda part: write_part(part, sources[part.split], output, how)  # noqa: E731
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _write(part: Part) -> Written:
    if _write_here is None:
        raise RuntimeError("the process was not made ready")
    return _write_here(part)
