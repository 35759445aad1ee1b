"""Taking over another run's state with other values: the same bits as a restart with them."""

import os
import shutil
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend
from toy import Recorder, SteeredWorker, ToyTask, local_worker, settings

from service.classification.ramp import StrengthRamp
from service.classification.task import ClassificationTask
from service.config.changes import CHANGEABLE
from service.config.durations import Duration
from service.config.errors import ConfigurationError
from service.config.imagenet import ImageNetConfig
from service.config.loading import load, to_yaml
from service.config.optimization import AdamWConfig, ConstantConfig, SGDConfig
from service.models import build_network
from service.regularization import RandomDrop
from service.training.checkpoint import CheckpointContent, read_checkpoint
from service.training.length import RunLength
from service.training.loop import train
from service.training.manifest import DamagedCheckpoint
from service.training.optimizers import build_optimizer
from service.training.retention import checkpoint_folder, checkpoint_folders
from service.training.settings import Settings
from service.training.state import TrainingState
from service.training.turn import Continuation

LONG = {"duration": Duration(4, "ep")}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch._dynamo.reset()


def assert_same(one: Any, other: Any, path: str = "") -> None:  # noqa: ANN401  # trees
    """Compares trees of tensors and plain values bit for bit."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), path
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for key in one:
            assert_same(one[key], other[key], f"{path}.{key}")
    elif isinstance(one, list | tuple):
        for index, pair in enumerate(zip(one, other, strict=True)):
            assert_same(*pair, f"{path}.{index}")
    else:
        assert one == other, path


def assert_same_checkpoint(one: CheckpointContent, other: CheckpointContent) -> None:
    """Compares all but the time it took."""
    timed = [
        {k: v for k, v in c.metrics.items() if not k.startswith("time/")} for c in (one, other)
    ]
    assert timed[0] == timed[1]
    for name in ("model", "ema", "state", "config_yaml", "metadata"):
        assert_same(getattr(one, name), getattr(other, name), name)


def assert_same_metrics(one: Recorder, other: Recorder, first: int) -> None:
    """Compares what two runs logged from a step on, but the time it took."""
    for step in range(first, max(other.metrics) + 1):
        for name, value in other.metrics.get(step, {}).items():
            if not name.startswith("time/"):
                assert one.metrics[step][name] == value, (step, name)


def changed_toy(how: Settings) -> Settings:
    """Settings in which all that is the optimiser's and the schedule's is another."""
    optimizer = SGDConfig(
        lr=0.02, momentum=0.5, nesterov=False, weight_decay=0.1, norm_weight_decay=0.01
    )
    return replace(how, optimizer=optimizer, schedule=ConstantConfig(), config_yaml="name: new\n")


def other_start(how: Settings) -> ToyTask:
    """A task whose network starts from other weights."""
    task = ToyTask(how.training)
    with torch.no_grad():
        for parameter in task.model.parameters():
            parameter.mul_(-0.5)
    return task


@pytest.mark.parametrize("at", [4, 8, 12])
def test_from_then_on_it_is_the_other_run_resumed_with_the_new_values(
    tmp_path: Path, at: int
) -> None:
    how = settings(**LONG)
    train(ToyTask(how.training), local_worker(tmp_path / "a", Recorder(), how), how)
    source, new = checkpoint_folder(tmp_path / "a", at), changed_toy(how)

    task, recorder = other_start(how), Recorder()
    own = replace(how, optimizer=SGDConfig(lr=0.2), config_yaml="name: old\n")
    worker = SteeredWorker(tmp_path / "b", recorder, own, {8: Continuation(source, 0.4, new)})
    before = [id(value) for value in (*task.model.parameters(), *task.model.buffers())]
    addresses = [value.data_ptr() for value in task.model.parameters()]
    figures = train(task, worker, own)
    # In place: what was compiled or wrapped goes on seeing the weights.
    assert before == [id(value) for value in (*task.model.parameters(), *task.model.buffers())]
    assert addresses == [value.data_ptr() for value in task.model.parameters()]

    twin_task, twin = ToyTask(new.training), Recorder()
    twin_task.change(0.4)
    shutil.copytree(source, checkpoint_folder(tmp_path / "twin", at))
    twin_worker = local_worker(tmp_path / "twin", twin, new)
    twin_figures = train(twin_task, twin_worker, new)

    assert task.begun == [*range(8), *range(at, 16)]
    assert_same_metrics(recorder, twin, at + 1)
    assert figures["val/ema_top1"] == twin_figures["val/ema_top1"]
    for step in {12, 15, 16} - set(range(at + 1)):
        ours = read_checkpoint(checkpoint_folder(tmp_path / "b", step))
        assert_same_checkpoint(ours, read_checkpoint(checkpoint_folder(tmp_path / "twin", step)))
        assert ours.config_yaml == "name: new\n"
    # It is not what the run, or the other one, would have become by itself.
    alone = read_checkpoint(checkpoint_folder(tmp_path / "a", 16)).model
    assert not torch.equal(alone["0.weight"], task.model.state_dict()["0.weight"])


def test_everything_but_the_values_is_the_checkpoints(tmp_path: Path) -> None:
    how, first = settings(), ToyTask(settings().training)
    first.poisoned = frozenset({7})
    train(first, local_worker(tmp_path / "a", Recorder(), how), how)
    content = read_checkpoint(checkpoint_folder(tmp_path / "a", 8))
    assert content.state["guard"]["skipped_in_row"] == 1
    task = other_start(how)
    train(task, local_worker(tmp_path / "b", Recorder(), how), how)
    state = TrainingState(task.model, how.optimizer, how.training)
    new = changed_toy(how).optimizer
    state.restore(content, new)
    found = state.content({}, content.metadata, content.config_yaml, content.metrics)
    groups = found.state["optimizer"].pop("param_groups")
    saved = content.state["optimizer"].pop("param_groups")
    assert_same_checkpoint(found, content)
    assert [group["weight_decay"] for group in groups] == [0.1, 0.01]
    for group, old in zip(groups, saved, strict=True):
        assert (group["initial_lr"], group["momentum"], group["nesterov"]) == (0.02, 0.5, False)
        assert group["param_names"] == old["param_names"]


@pytest.mark.parametrize("at", [4, 8])
def test_data_is_loaded_anew_only_where_the_position_changes(tmp_path: Path, at: int) -> None:
    how = settings(**LONG)
    train(ToyTask(how.training), local_worker(tmp_path / "a", Recorder(), how), how)
    task, seen, kept = ToyTask(how.training), [], []
    begin, load_from = task.begin_step, task.train_batches

    def watched(step: int, length: Any) -> None:  # noqa: ANN401
        seen.append((step, [*task.loading]))
        begin(step, length)

    def keeping(position: int) -> Any:  # noqa: ANN401
        # Somebody who keeps the batches does not keep the processes that load them.
        kept.append(load_from(position))
        return kept[-1]

    task.begin_step, task.train_batches = watched, keeping  # type: ignore[method-assign]
    turn = Continuation(checkpoint_folder(tmp_path / "a", at), 0.2, how)
    train(task, SteeredWorker(tmp_path / "b", Recorder(), how, {8: turn}), how)
    # Loading begins with the first batch that is drawn. The old loading ended before the new.
    assert seen[7:10] == [(7, [0]), (at, [] if at == 4 else [0]), (at + 1, [40 if at == 4 else 0])]


def test_the_run_is_asked_after_each_evaluation_but_the_last(tmp_path: Path) -> None:
    how = settings(**LONG)
    worker = SteeredWorker(tmp_path, Recorder(), how, {})
    train(ToyTask(how.training), worker, how)
    assert worker.asked == [4, 8, 12]


def test_a_run_told_to_stop_ends_with_the_evaluations_checkpoint(tmp_path: Path) -> None:
    how, recorder = settings(**LONG), Recorder()
    worker = SteeredWorker(tmp_path, recorder, how, {8: "stop"})
    reported: list[int] = []
    report = worker.report

    def counted(step: int, *rest: Any) -> None:  # noqa: ANN401
        reported.append(step)
        report(step, *rest)

    worker.report = counted  # type: ignore[method-assign]
    figures = train(ToyTask(how.training), worker, how)
    assert max(recorder.metrics) == 8
    assert reported == [3, 4, 6, 8]
    newest = read_checkpoint(checkpoint_folders(tmp_path)[0])
    assert newest.state["position"] == 80
    assert newest.metrics["val/top1"] == figures["val/top1"]
    # Resumed, it goes on and ends as if it had never stopped.
    train(ToyTask(how.training), local_worker(tmp_path, Recorder(), how), how)
    train(ToyTask(how.training), local_worker(tmp_path / "whole", Recorder(), how), how)
    last = checkpoint_folder(Path(), 16).name
    assert_same_checkpoint(
        read_checkpoint(tmp_path / last), read_checkpoint(tmp_path / "whole" / last)
    )


def test_from_the_end_of_another_run_nothing_is_left_to_do(tmp_path: Path) -> None:
    how, recorder = settings(), Recorder()
    first = train(ToyTask(how.training), local_worker(tmp_path / "a", Recorder(), how), how)
    turn = Continuation(checkpoint_folder(tmp_path / "a", 8), 0.2, how)
    worker = SteeredWorker(tmp_path / "b", recorder, how, {4: turn})
    assert train(other_start(how), worker, how)["val/top1"] == first["val/top1"]
    assert max(recorder.metrics) == 4


def test_a_damaged_checkpoint_is_not_taken(tmp_path: Path) -> None:
    how = settings(**LONG)
    train(ToyTask(how.training), local_worker(tmp_path / "a", Recorder(), how), how)
    source = checkpoint_folder(tmp_path / "a", 8)
    (source / "model.safetensors").write_bytes(b"damaged")
    worker = SteeredWorker(tmp_path / "b", Recorder(), how, {8: Continuation(source, 0.2, how)})
    with pytest.raises(DamagedCheckpoint, match=r"step_00000008/model\.safetensors"):
        train(ToyTask(how.training), worker, how)


def test_the_state_of_another_kind_of_optimizer_is_refused() -> None:
    model = nn.Linear(2, 2)
    own, other = (build_optimizer(model, c, 1) for c in (AdamWConfig(), SGDConfig()))
    with pytest.raises(ValueError, match=r"optimizer\.kind: the optimiser state is of another"):
        own.load_state_dict(other.state_dict())


def test_momentum_can_begin_and_end(tmp_path: Path) -> None:
    """A momentum that begins starts from zeros; one that ends leaves nothing behind."""
    how = settings()
    still = replace(how, optimizer=SGDConfig(lr=0.05, momentum=0))
    train(ToyTask(how.training), local_worker(tmp_path / "still", Recorder(), still), still)
    train(ToyTask(how.training), local_worker(tmp_path / "moved", Recorder(), how), how)
    state = TrainingState(ToyTask(how.training).model, how.optimizer, how.training)
    for name, choice in (("still", how.optimizer), ("moved", still.optimizer)):
        content = read_checkpoint(checkpoint_folder(tmp_path / name, 8))
        state.restore(content, choice)
        momenta = [values["momentum_buffer"] for values in state.optimizer.state.values()]
        assert len(momenta) == (6 if choice.momentum else 0)
        assert all(not momentum.any() for momentum in momenta)


# Real networks and pictures.

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
    assert {path for _, changes in CHANGES.values() for path in changes} == CHANGEABLE


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


# Several workers.


def _work(rank: int, port: int, folder: Path) -> None:
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=2)
    how = settings(**LONG)
    new = changed_toy(how)
    turn = Continuation(checkpoint_folder(folder / "a", 4), 0.4, new)
    for name, began, turns in (("a", how, {}), ("b", how, {8: turn}), ("twin", new, {})):
        task = ToyTask(how.training, rank, 2) if name == "a" else other_start(how)
        task._rank, task._world_size = rank, 2
        worker = SteeredWorker(folder / name, Recorder(), began, turns)
        worker.rank, worker.world_size = rank, 2
        if name == "twin":
            task.change(0.4)
            if rank == 0:
                shutil.copytree(turn.checkpoint, checkpoint_folder(folder / name, 4))
            dist.barrier()
        if rank == 1:
            # Retention tidies up, which is for the process that writes.
            worker.finish = lambda: None  # type: ignore[method-assign]
        train(task, worker, began)
        torch.save(task.model.state_dict(), folder / f"{name}-{rank}.pt")
        dist.barrier()
    dist.destroy_process_group()


def test_two_workers_take_over_together(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    multiprocessing.spawn(_work, (port, tmp_path), nprocs=2)
    weights = {
        (name, rank): torch.load(tmp_path / f"{name}-{rank}.pt", weights_only=True)
        for name in ("a", "b", "twin")
        for rank in (0, 1)
    }
    parameters = [name for name in weights["b", 0] if "running" not in name]
    for name in parameters:
        assert torch.equal(weights["b", 0][name], weights["b", 1][name]), name
    assert_same(weights["b", 0], weights["twin", 0])
    assert not torch.equal(weights["a", 0]["0.weight"], weights["b", 0]["0.weight"])
    last = checkpoint_folder(Path(), 16).name
    assert_same_checkpoint(
        read_checkpoint(tmp_path / "b" / last), read_checkpoint(tmp_path / "twin" / last)
    )
