"""The stream from files through a network to results."""

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, TypeVar

import numpy as np
from torch import Tensor

from service.data.loading import evaluation_requests, load, loading_processes
from service.data.packing import PackedStrings
from service.data.progress import Progress
from service.inference.machine import cores
from service.inference.networks import Classifier, Detector
from service.inference.views import FileBatch, FileViews

R = TypeVar("R")

_AHEAD = 2  # results waiting for each thread


class Predictor(Protocol[R]):
    """Makes results of the files that could be read."""

    @property
    def network(self) -> Classifier | Detector:
        """Which network answers."""

    @property
    def view(self) -> Callable[[Tensor], Tensor]:
        """What it sees of a picture."""

    def answer(self, batch: FileBatch) -> list[Callable[[], R]]:
        """Asks the network; returns for each picture what is left to do, on any thread."""
        ...


def predictions(
    files: PackedStrings, predictor: Predictor[R], batch_size: int, progress: Progress
) -> Generator[R, None, None]:
    """Yields the result of each picture that can be used, in order.

    Files are read and decoded ahead, and results finished behind, while the network is at work.

    Args:
        files: Paths of the pictures.
        predictor: Makes the results.
        batch_size: Files of a batch.
        progress: Is told how far it is, and of each file that cannot be used.
    """
    batches = _loaded(files, predictor, batch_size)
    waiting: deque[Future[R]] = deque()
    threads = max(1, cores() - 1)
    with ThreadPoolExecutor(threads) as pool:
        for batch in batches:
            for failure in batch.failures:
                progress.line(f"skipped: {failure}")
            waiting.extend(pool.submit(work) for work in predictor.answer(batch))
            while len(waiting) > _AHEAD * threads + len(batch):
                yield waiting.popleft().result()
            progress.add(len(batch))
        while waiting:
            yield waiting.popleft().result()


def _loaded(
    files: PackedStrings, predictor: Predictor[R], batch_size: int
) -> Generator[FileBatch, None, None]:
    config, device = predictor.network.trained.config, predictor.network.device
    return load(
        FileViews(files, predictor.view),
        evaluation_requests(np.arange(len(files)), batch_size),
        config.data.prefetch_batches,
        loading_processes(config.data.loading_processes, cores(), device),
        config.data.loading_timeout,
    )
