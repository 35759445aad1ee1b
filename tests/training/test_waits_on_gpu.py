"""Steps of classification: on a GPU the host never waits for it.

torch's sync debug mode raises in any call that waits. The same steps run once on the processor, so
that what needs a GPU (`pytest -m gpu`) does not rust where there is none.
"""

import itertools
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import pytest
import torch

from service.classification.task import ClassificationTask
from service.config.imagenet import ImageNetConfig
from service.config.loading import load
from service.models.resolution import resolved_run
from service.training.length import RunLength
from service.training.local import LocalWorker
from service.training.schedules import learning_rate_factor, set_learning_rate
from service.training.state import TrainingState
from service.training.step import TrainingStep
from service.training.wrapping import wrap

needs_gpu = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

WARM_UP, STEPS = 3, 3
SMALL = (
    "name=run",
    "data.train_pictures=32",
    "data.evaluation_pictures=8",
    "data.picture_size=40",
    "data.train.size=32",
    "data.evaluation.resize=36",
    "data.evaluation.size=32",
    "data.loading_processes=0",
    "training.batch_size=8",
)
RESNET = ("model.kind=resnet", "model.depth=18", "model.width=8", "model.order=erase_relu")
SHAKE_RESNET = ("model.kind=shake_resnet", "model.depth=14", "model.width=4")
REGULARIZERS: dict[str, tuple[str, ...]] = {
    "none": (*RESNET, "model.regularizer.kind=none"),
    **{
        f"shakedrop-{level}-{gate}": (
            *RESNET,
            "model.regularizer.kind=shakedrop",
            f"model.regularizer.level={level}",
            f"model.regularizer.gate={gate}",
            # Strengths that change with every step.
            "model.regularizer.ramp.over=1run",
        )
        for level, gate in itertools.product(
            ("batch", "image", "channel", "pixel"), ("batch", "sample")
        )
    },
    "random_drop": (*RESNET, "model.regularizer.kind=random_drop"),
    "drop_block": (*RESNET, "model.regularizer.kind=drop_block", "model.regularizer.block_size=3"),
    "shake_shake": (*SHAKE_RESNET, "model.regularizer.kind=shake_shake"),
}
EVERYTHING = (
    *REGULARIZERS["shakedrop-pixel-batch"],
    "training.channels_last=true",
    "training.accumulation=2",
    "training.clip_norm=1",
    "training.average.enabled=true",
)
WAYS: dict[str, tuple[str, ...]] = {
    "fp32": EVERYTHING,
    "bf16": (*EVERYTHING, "training.precision=bf16"),
    "fp16": (*EVERYTHING, "training.precision=fp16"),
    "mixing": (*EVERYTHING, "mixing.mixup_alpha=0.2", "mixing.cutmix_alpha=1"),
    "adamw": (*EVERYTHING, "optimizer.kind=adamw"),
    "lamb": (*EVERYTHING, "optimizer.kind=lamb"),
    "compiled": (*EVERYTHING, "training.precision=bf16", "training.compile=true"),
}


@contextmanager
def no_waits() -> Iterator[None]:
    """Lets every call that waits for the GPU raise RuntimeError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says once that the mode does not find everything
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def take_steps(
    folder: Path,
    device: torch.device,
    options: tuple[str, ...],
    watched: Callable[[], AbstractContextManager[None]],
    *,
    poisoned: bool = False,
) -> int:
    """Takes some steps as the loop does, watched after a few; returns how many were skipped."""
    config = resolved_run(load(ImageNetConfig, [], (*SMALL, *options)))
    training = config.training
    worker = LocalWorker(
        folder,
        device,
        1,
        config.checkpoint,
        lambda _step, _metrics: None,
        lambda _path, _content: None,
        lambda _text: None,
        lambda: False,
    )
    task = ClassificationTask(config, folder, worker)
    state = TrainingState(task.model, config.optimizer, training, task.learning_rate_factors)
    step = TrainingStep(task, wrap(state.model, training), state, worker, training)
    length = RunLength(task.samples_per_epoch, training.batch_size, training.duration)
    factor = learning_rate_factor(config.schedule, length.steps, length.steps_per_epoch)
    loading = task.train_batches(0)
    drawn = [*itertools.islice(loading, (WARM_UP + STEPS) * training.accumulation)]
    loading.close()
    # In page-locked memory, as the loader gives them to a GPU.
    batches = iter([batch.pin_memory() for batch in drawn] if device.type == "cuda" else drawn)
    state.model.train()
    for number in range(WARM_UP + STEPS):
        if number == WARM_UP and poisoned:
            with torch.no_grad():
                next(state.model.parameters()).fill_(torch.nan)
        # The first steps find algorithms, compile, and take memory.
        with nullcontext() if number < WARM_UP else watched():
            set_learning_rate(state.optimizer, factor(state.step))
            task.begin_step(state.step, length)
            step(batches)
    assert state.step == WARM_UP + STEPS
    assert step.meters.read().keys() >= {"loss", "grad_norm"}
    return int(state.guard.skipped)


@pytest.mark.parametrize(("name", "poisoned"), [("bf16", True), ("mixing", False)])
def test_the_steps_can_be_taken_on_a_processor(tmp_path: Path, name: str, poisoned: bool) -> None:
    cpu = torch.device("cpu")
    skipped = take_steps(tmp_path, cpu, WAYS[name], nullcontext, poisoned=poisoned)
    assert skipped == (STEPS if poisoned else 0)


class TestOnAGPU:
    pytestmark = needs_gpu

    def test_the_mode_notices_a_wait(self) -> None:
        value = torch.ones((), device="cuda")
        with no_waits(), pytest.raises(RuntimeError, match="synchronizing"):
            value.item()

    @pytest.mark.parametrize("name", REGULARIZERS)
    def test_no_regulariser_waits(self, tmp_path: Path, name: str) -> None:
        take_steps(tmp_path, torch.device("cuda", 0), REGULARIZERS[name], no_waits)

    @pytest.mark.parametrize("name", WAYS)
    def test_no_way_to_train_waits(self, tmp_path: Path, name: str) -> None:
        take_steps(tmp_path, torch.device("cuda", 0), WAYS[name], no_waits)

    @pytest.mark.parametrize("precision", ["bf16", "fp16"])
    def test_a_step_that_is_skipped_does_not_wait(self, tmp_path: Path, precision: str) -> None:
        device = torch.device("cuda", 0)
        skipped = take_steps(tmp_path, device, WAYS[precision], no_waits, poisoned=True)
        # The first loss scales of fp16 may be too large.
        assert skipped >= STEPS
