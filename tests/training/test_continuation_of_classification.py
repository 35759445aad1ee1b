"""Classification takes over another run's state: every value that may change, and the compiler."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from comparing import assert_same_checkpoint, assert_same_metrics
from torch._dynamo.testing import CompileCounterWithBackend
from toy import Recorder, SteeredWorker

from service.classification.task import ClassificationTask
from service.config.changes import CHANGEABLE
from service.config.durations import Duration
from service.config.errors import ConfigurationError
from service.config.imagenet import ImageNetConfig
from service.config.loading import load, to_yaml
from service.models import build_network
from service.regularization import RandomDrop
from service.training.checkpoint import read_checkpoint
from service.training.length import RunLength
from service.training.loop import train
from service.training.ramp import StrengthRamp
from service.training.retention import checkpoint_folder
from service.training.settings import Settings
from service.training.turn import Continuation


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch._dynamo.reset()


OPTIONS = (
    "name=run",
    "data.train_pictures=32",
    "data.evaluation_pictures=16",
    "data.picture_size=24",
    "data.train.size=16",
    "data.evaluation.resize=18",
    "data.evaluation.size=16",
    "data.loading_processes=0",
    "model.kind=cifar_resnet",
    "model.depth=8",
    "model.width=4",
    "training.duration=3ep",
    "training.batch_size=8",
    "training.log_every=1",
    "training.average.enabled=true",
    "training.deterministic=true",
    "checkpoint.every_minutes=null",
    "checkpoint.keep=100",
)

SHAKEDROP = (
    "model.regularizer.kind=shakedrop",
    "model.regularizer.alpha.low=-1",
    "model.regularizer.alpha.high=1",
)

CHANGES: dict[str, tuple[tuple[str, ...], dict[str, object]]] = {
    "shakedrop-sgd-cosine": (
        (*SHAKEDROP, "mixing.mixup_alpha=0.2", "mixing.cutmix_alpha=1"),
        {
            "model.regularizer.p_l": 0.3,
            "model.regularizer.alpha.low": -0.5,
            "model.regularizer.alpha.high": 0.25,
            "model.regularizer.beta.low": 0.125,
            "model.regularizer.beta.high": 0.75,
            "optimizer.lr": 0.05,
            "optimizer.momentum": 0.6,
            "optimizer.nesterov": False,
            "optimizer.weight_decay": 0.01,
            "optimizer.norm_weight_decay": 0.02,
            "schedule.end_factor": 0.2,
            "mixing.mixup_alpha": 0.4,
            "mixing.cutmix_alpha": 0.0,
            "mixing.probability": 0.5,
            "loss.label_smoothing": 0.1,
        },
    ),
    "drop_block-adamw-step": (
        (
            "model.regularizer.kind=drop_block",
            "model.regularizer.block_size=2",
            "optimizer.kind=adamw",
            "schedule.kind=step",
            "schedule.every=1ep",
        ),
        {
            "model.regularizer.drop_prob": 0.4,
            "model.regularizer.earlier_factor": 0.75,
            "optimizer.beta1": 0.8,
            "optimizer.beta2": 0.99,
            "optimizer.eps": 1e-5,
            "schedule.factor": 0.5,
        },
    ),
    "random_drop-lamb-ramp": (
        (
            "model.regularizer.kind=random_drop",
            "model.regularizer.ramp.over=1run",
            "optimizer.kind=lamb",
        ),
        {
            "model.regularizer.ramp.start": 0.75,
            "model.regularizer.p_l": 0.25,
            "optimizer.lr": 0.002,
            "optimizer.beta1": 0.8,
            "optimizer.weight_decay": 0.1,
        },
    ),
}


def recipe(*options: str, **changes: object) -> ImageNetConfig:
    given = (f"{path}={value}" for path, value in changes.items())
    return load(ImageNetConfig, overrides=[*OPTIONS, *options, *given])


def settings_of(config: ImageNetConfig) -> Settings:
    return Settings(
        config.training, config.optimizer, config.schedule, config.checkpoint, to_yaml(config)
    )


def begin(
    storage: Path,
    config: ImageNetConfig,
    name: str,
    **turns: Any,  # noqa: ANN401
) -> tuple[ClassificationTask, Recorder]:
    """Runs a classification in the storage's folder of the name; turns are given as `at4`."""
    how, recorder = settings_of(config), Recorder()
    answers = {int(key.removeprefix("at")): turn for key, turn in turns.items()}
    worker = SteeredWorker(storage / name, recorder, how, answers)
    task = ClassificationTask(config, storage, worker)
    train(task, worker, how)
    return task, recorder


def test_a_ramp_goes_on_at_the_step_it_is_at() -> None:
    config = recipe(*CHANGES["random_drop-lamb-ramp"][0])
    network = build_network(config.model, 2)
    ramp = StrengthRamp(network, config.model.regularizer)
    length = RunLength(10, 1, Duration(10, "st"))

    def at_the_end() -> float:
        return float([m.p for m in network.modules() if isinstance(m, RandomDrop)][-1])

    ramp.move_to(3, length)
    before = at_the_end()
    assert before == pytest.approx(1 - 3 / 9 * 0.5)
    ramp.change(config.model.regularizer)
    ramp.move_to(3, length)
    assert at_the_end() == before
    ramp.change(config.model.regularizer.model_copy(update={"p_l": 0.1}))
    ramp.move_to(3, length)
    assert at_the_end() == pytest.approx(1 - 3 / 9 * 0.9)


def taking_over(storage: Path, config: ImageNetConfig) -> Continuation:
    return Continuation(checkpoint_folder(storage / "a", 4), config, settings_of(config))


@pytest.mark.parametrize("case", CHANGES)
def test_classification_goes_on_with_every_changed_value(tmp_path: Path, case: str) -> None:
    options, changes = CHANGES[case]
    old, new = recipe(*options), recipe(*options, **changes)
    begin(tmp_path, old, "a", at4="stop")
    # The run that takes over is where its own weights led it, at twice the learning rate.
    own = recipe(*options, **{"optimizer.lr": 2 * old.optimizer.lr})
    _, ours = begin(tmp_path, own, "b", at8=taking_over(tmp_path, new))
    shutil.copytree(tmp_path / "a", tmp_path / "twin")
    _, twin = begin(tmp_path, new, "twin")
    assert_same_metrics(ours, twin, 5)
    for step in (8, 12):
        assert_same_checkpoint(
            *(read_checkpoint(checkpoint_folder(tmp_path / name, step)) for name in ("b", "twin"))
        )


def test_all_that_may_change_was_changed() -> None:
    changed = {path for _, changes in CHANGES.values() for path in changes}
    assert changed == {path for path in CHANGEABLE if not path.startswith("model.backbone.")}


def test_other_changes_are_refused(tmp_path: Path) -> None:
    old = recipe(*SHAKEDROP)
    begin(tmp_path, old, "a", at4="stop")
    other = recipe(*SHAKEDROP, "model.regularizer.level=batch")
    with pytest.raises(ConfigurationError, match=r"model\.regularizer\.level: cannot change from"):
        begin(tmp_path, old, "b", at4=taking_over(tmp_path, other))


def test_nothing_is_compiled_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The real compiler and its guards; the code that it generates would take long and says nothing.
    counter, compiler = CompileCounterWithBackend("aot_eager"), torch.compile
    monkeypatch.setattr(torch, "compile", lambda model: compiler(model, backend=counter))
    compiled = ("training.compile=true", *SHAKEDROP)
    begin(tmp_path, recipe(*SHAKEDROP), "a", at4="stop")
    _, changes = CHANGES["shakedrop-sgd-cosine"]
    new = recipe(*compiled, **changes)
    with torch._dynamo.config.patch(error_on_recompile=True):
        begin(tmp_path, recipe(*compiled), "b", at4=taking_over(tmp_path, new))
    assert counter.frame_count == 1
