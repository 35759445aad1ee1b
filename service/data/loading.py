"""Streams of batches, made in this process or in loading processes.

What a batch holds depends on its place in the stream and on nothing else: each view is drawn from a
seed of its own, so the number of loading processes and of workers changes no bit.
"""

import signal
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from service.config.small_data import AnyPicturesConfig
from service.data.batch import Batch, Request, Views, joined, parts_of
from service.data.decoding import DamagedPictureError
from service.data.order import SampleOrder, evaluation_share, worker_positions
from service.data.pictures import Pictures
from service.data.seeds import sample_seeds
from service.data.streaming.keeping import copied_meanwhile
from service.data.streaming.pictures import StreamedPictures
from service.data.supervision import LoadingError, Supervision
from service.data.views import AnyViews, evaluation_views, training_views

B = TypeVar("B")
T = TypeVar("T")


def loading_processes(configured: Literal["auto"] | int, cpus: int, device: torch.device) -> int:
    """Returns what the configuration says; auto leaves one core to the training process.

    On a CPU the network needs the cores itself.

    Args:
        configured: `data.loading_processes`.
        cpus: Cores of the worker.
        device: Where the network is.
    """
    if configured != "auto":
        return configured
    spare = cpus - 1
    return spare if device.type == "cuda" else min(spare, cpus // 4)


def training_batches(
    pictures: Pictures,
    config: AnyPicturesConfig,
    order: SampleOrder,
    *,
    start: int,
    batch_size: int,
    accumulation: int,
    rank: int,
    world_size: int,
    loading_processes: int,
) -> Generator[Batch, None, None]:
    """Starts loading this worker's micro-batches from a stream position on, without end.

    The loading processes live until the result is closed or dropped; epochs do not restart them.

    Args:
        pictures: The training pictures.
        config: What is done to them.
        order: The stream of samples; its seed is also that of the augmentation.
        start: Stream position of the next step: the samples seen so far.
        batch_size: Samples of a step over all workers and micro-batches.
        accumulation: Micro-batches of a step.
        rank: This worker, below `world_size`.
        world_size: Workers.
        loading_processes: Processes that decode and augment; 0 does both in this one, and so it is
            where the pictures are in memory and no policy is applied to them.

    Raises:
        ConfigurationError: The batch is too small for the workers and micro-batches.
        DamagedPictureError: While iterating: a picture cannot be used and may not be skipped; names
            it.
        LoadingError: While iterating: a loading process died, or they hang, or where the pictures
            are kept gives no answer.
    """
    if order.size != len(pictures):
        raise ValueError(f"the order has {order.size} samples, the set {len(pictures)}")
    positions = worker_positions(
        start=start,
        batch_size=batch_size,
        accumulation=accumulation,
        rank=rank,
        world_size=world_size,
    )
    views = training_views(pictures, config)
    processes = loading_processes if views.needs_processes else 0
    batches = _load(views, training_requests(order, positions), config, processes)
    if isinstance(pictures, StreamedPictures):
        return copied_meanwhile(pictures.plan, batches)
    return batches


def evaluation_batches(
    pictures: Pictures,
    config: AnyPicturesConfig,
    *,
    rank: int,
    world_size: int,
    loading_processes: int,
) -> Generator[Batch, None, None]:
    """Starts loading this worker's share of the evaluation pictures, in order, each exactly once.

    Batches hold `evaluation.batch_size` pictures, the last one what is left.

    Raises:
        DamagedPictureError: While iterating: a picture cannot be used and may not be skipped; names
            it.
        LoadingError: While iterating: a loading process died, or they hang, or where the pictures
            are kept gives no answer.
    """
    share = evaluation_share(len(pictures), rank, world_size)
    views = evaluation_views(pictures, config)
    requests = evaluation_requests(share, config.evaluation.batch_size)
    processes = loading_processes if views.needs_processes else 0
    return _load(views, requests, config, processes)


def training_requests(
    order: SampleOrder, positions: Iterable[NDArray[np.int64]]
) -> Iterator[Request]:
    """Yields what each micro-batch holds. The permutations stay in this process."""
    for part in positions:
        indices, epochs, occurrences = order.at(part)
        yield Request(indices, sample_seeds(order.seed, epochs, indices, occurrences))


def evaluation_requests(share: NDArray[np.int64], batch_size: int) -> Iterator[Request]:
    """Yields what each evaluation batch holds."""
    for first in range(0, len(share), batch_size):
        indices = share[first : first + batch_size]
        # Nothing in the evaluation view is random.
        yield Request(indices, np.zeros(len(indices), np.uint64))


def _load(
    views: AnyViews, requests: Iterator[Request], config: AnyPicturesConfig, processes: int
) -> Generator[Batch, None, None]:
    """Starts loading; where processes decode, each makes a part of the first batch.

    Else all but one of them would make later ones while the first is waited for.
    """
    parts: list[Request] = []
    if isinstance(views, Views) and processes > 1:
        parts = [part for first in islice(requests, 1) for part in parts_of(first, processes)]
    batches = load(
        views, chain(parts, requests), config.prefetch_batches, processes, config.loading_timeout
    )
    return _first_joined(batches, len(parts)) if len(parts) > 1 else batches


def _first_joined(
    batches: Generator[Batch, None, None], parts: int
) -> Generator[Batch, None, None]:
    """Yields batches, the first one put together from its parts."""
    try:
        yield joined(list(islice(batches, parts)))
        yield from batches
    finally:
        batches.close()


def load(
    views: Dataset[B | DamagedPictureError],
    requests: Iterator[Request],
    prefetch_batches: int,
    loading_processes: int,
    loading_timeout: float | None,
) -> Generator[B, None, None]:
    """Starts a DataLoader over all requests of a run, so that its processes start only once.

    Args:
        views: Makes a batch on request; what is damaged it returns.
        requests: What each batch holds.
        prefetch_batches: Batches that each loading process prepares ahead.
        loading_processes: Processes that make batches; 0 makes them in this one.
        loading_timeout: Seconds to wait for a batch of theirs; None for no bound.

    Raises:
        DamagedPictureError: While iterating: what the views returned as damaged.
        LoadingError: While iterating: a loading process died, or they hang, or where the pictures
            are kept gives no answer.
    """
    loader = DataLoader(
        _Unraised(views),
        batch_size=None,
        sampler=requests,
        num_workers=loading_processes,
        collate_fn=_unchanged,
        pin_memory=torch.cuda.is_available(),
        prefetch_factor=prefetch_batches if loading_processes else None,
        # Without one of its own, the DataLoader draws from the caller's generator.
        generator=torch.Generator(),
        worker_init_fn=_leave_interrupts_to_the_program,
    )
    with _signal_handler_kept():
        return _received(iter(loader), loading_timeout)


class _Unraised(Dataset[B | DamagedPictureError | LoadingError]):
    """Returns an error that would be raised: torch would bury its one line in a traceback."""

    def __init__(self, views: Dataset[B | DamagedPictureError]) -> None:
        self._views = views

    def __getitem__(self, request: Any) -> B | DamagedPictureError | LoadingError:  # noqa: ANN401
        try:
            return self._views[request]
        except LoadingError as error:
            return error


def _unchanged(value: T) -> T:
    """Returns what it is given: a request makes a whole batch, nothing is left to collate."""
    return value


def _leave_interrupts_to_the_program(_process: int) -> None:
    """A terminal sends Ctrl-C to loading processes too; the program may want to save first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def _signal_handler_kept() -> Iterator[None]:
    """Restores what happens at the end of a child process.

    In the main thread torch installs a handler that raises wherever the program then is: in the
    middle of a step or of writing a file.
    """
    handler = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread() and handler is not None:
            signal.signal(signal.SIGCHLD, handler)


def _received(
    batches: Iterator[B | DamagedPictureError | LoadingError], limit: float | None
) -> Generator[B, None, None]:
    """Yields batches; raises what a loading process returned instead of one."""
    # Torch offers its processes under no other name; an iterator that works here has none.
    supervision = Supervision(getattr(batches, "_workers", ()), limit)
    try:
        while True:
            try:
                batch = supervision.draw(batches)
            except StopIteration:
                return
            if isinstance(batch, DamagedPictureError | LoadingError):
                raise type(batch)(str(batch))
            yield batch
    finally:
        # The DataLoader's iterator ends its processes when its last reference goes. An exception
        # that somebody keeps would keep this frame, and so the reference.
        del batches
        supervision.close()
