"""Loading processes that are killed or stopped: one clear line within a stated time."""

import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator

import psutil
import pytest

from service.config.data import (
    DrawnDataConfig,
    EvaluationPicturesConfig,
    PicturesConfig,
    TrainPicturesConfig,
)
from service.config.errors import RunError
from service.data.batch import Batch
from service.data.drawing.tree import draw_pictures
from service.data.folder import FolderPictures, list_folder
from service.data.loading import evaluation_batches, training_batches
from service.data.order import SampleOrder
from service.data.supervision import LoadingError

pytestmark = [
    pytest.mark.faults,
    # Two loading processes are too many for torch's liking where the tests have one core.
    pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker"),
]

NOTICED = 5.0
"""Seconds after which torch looks whether a process that it waits for is alive."""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> FolderPictures:
    root = tmp_path_factory.mktemp("data") / "drawn"
    sizes = {"train_pictures": 40, "evaluation_pictures": 40, "picture_size": 24}
    draw_pictures(root, DrawnDataConfig(classes=2, **sizes))
    return list_folder(root / "train")


def config(timeout: float | None) -> PicturesConfig:
    return PicturesConfig(
        train=TrainPicturesConfig(size=16),
        evaluation=EvaluationPicturesConfig(resize=18, size=16, batch_size=2),
        loading_timeout=timeout,
        prefetch_batches=1,
    )


Stream = Generator[Batch, None, None]


def training(pictures: FolderPictures, timeout: float | None) -> Stream:
    return training_batches(
        pictures,
        config(timeout),
        SampleOrder(len(pictures), 0),
        start=0,
        batch_size=4,
        accumulation=1,
        rank=0,
        world_size=1,
        loading_processes=2,
    )


def evaluation(pictures: FolderPictures, timeout: float | None) -> Stream:
    return evaluation_batches(pictures, config(timeout), rank=0, world_size=1, loading_processes=2)


def running(before: set[psutil.Process]) -> list[psutil.Process]:
    """Returns the child processes since then that have not ended."""
    found = sorted(set(psutil.Process().children()) - before, key=lambda child: child.pid)
    return [child for child in found if child.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture
def before() -> Iterator[set[psutil.Process]]:
    """The child processes of before the test; the test leaves no other behind."""
    found = set(psutil.Process().children())
    yield found
    assert running(found) == []


def failure(stream: Stream) -> LoadingError:
    with pytest.raises(LoadingError) as caught:
        for _ in stream:
            pass
    assert "\n" not in str(caught.value)
    # So Ray starts the workers again.
    assert not isinstance(caught.value, RunError)
    return caught.value


def test_an_interrupt_is_left_to_the_program(
    pictures: FolderPictures, before: set[psutil.Process]
) -> None:
    """A terminal sends Ctrl-C to them too, and what trains wants to save first."""
    stream = evaluation(pictures, None)
    sizes = [len(next(stream).labels)]
    for process in running(before):
        process.send_signal(signal.SIGINT)
    sizes += [len(batch.labels) for batch in stream]
    assert sizes == [2] * 20


@pytest.mark.parametrize("start", [training, evaluation])
def test_a_killed_process_is_named_with_the_likely_reason(
    pictures: FolderPictures, before: set[psutil.Process], start: Callable[..., Stream]
) -> None:
    """Torch's own handler would raise as soon as it died, whatever the program is doing."""
    handler = signal.getsignal(signal.SIGCHLD)
    stream = start(pictures, None)
    assert signal.getsignal(signal.SIGCHLD) is handler
    next(stream)
    victim = running(before)[1]
    victim.kill()
    killed = time.monotonic()
    while victim in running(before):
        time.sleep(0.01)
    error = failure(stream)
    assert time.monotonic() - killed < 2 * NOTICED
    assert str(error) == (
        f"a loading process (pid {victim.pid}) was ended by SIGKILL; likely out of memory "
        "(/dev/shm or RAM): lower data.loading_processes or data.prefetch_batches"
    )


def test_training_in_a_thread_hears_of_a_death_too(
    pictures: FolderPictures, before: set[psutil.Process]
) -> None:
    """Ray Train runs the loop in a thread, where torch has no handler of signals."""
    errors: list[LoadingError] = []
    started = threading.Event()

    def train() -> None:
        stream = training(pictures, 60.0)
        next(stream)
        started.set()
        errors.append(failure(stream))

    thread = threading.Thread(target=train)
    thread.start()
    assert started.wait(30)
    os.kill(running(before)[0].pid, signal.SIGKILL)
    thread.join(30)
    assert "was ended by SIGKILL" in str(errors[0])


@pytest.mark.parametrize("start", [training, evaluation])
def test_stopped_processes_are_given_up_after_the_configured_time(
    pictures: FolderPictures, before: set[psutil.Process], start: Callable[..., Stream]
) -> None:
    stream = start(pictures, 1.0)
    next(stream)
    for process in running(before):
        process.suspend()
    stopped = time.monotonic()
    error = failure(stream)
    assert 1.0 <= time.monotonic() - stopped < 1.0 + 3 * NOTICED
    assert str(error).startswith("no batch came for 1 seconds (data.loading_timeout): ")
    assert "storage" in str(error)


def test_time_that_training_takes_is_no_waiting(
    pictures: FolderPictures, before: set[psutil.Process]
) -> None:
    stream = training(pictures, 0.4)
    for _ in range(2):
        next(stream)
        time.sleep(0.8)
    assert len(running(before)) == 2
    stream.close()


@pytest.mark.slow
def test_a_stopped_process_holds_up_no_end(
    pictures: FolderPictures, before: set[psutil.Process]
) -> None:
    stream = training(pictures, None)
    next(stream)
    running(before)[0].suspend()
    stream.close()
