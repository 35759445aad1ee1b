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
from comparing import assert_same, assert_same_checkpoint, assert_same_metrics
from torch import nn
from toy import Recorder, SteeredWorker, ToyTask, local_worker, settings

from service.config.durations import Duration
from service.config.optimization import AdamWConfig, ConstantConfig, SGDConfig
from service.training.checkpoint import CheckpointContent, read_checkpoint
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
    state = TrainingState(task.model, how.optimizer, how.training, {})
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
    save = worker.save

    def counted(step: int, checkpoint: CheckpointContent | None) -> None:
        reported.append(step)
        save(step, checkpoint)

    worker.save = counted  # type: ignore[method-assign]
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
    state = TrainingState(ToyTask(how.training).model, how.optimizer, how.training, {})
    for name, choice in (("still", how.optimizer), ("moved", still.optimizer)):
        content = read_checkpoint(checkpoint_folder(tmp_path / name, 8))
        state.restore(content, choice)
        momenta = [values["momentum_buffer"] for values in state.optimizer.state.values()]
        assert len(momenta) == (6 if choice.momentum else 0)
        assert all(not momentum.any() for momentum in momenta)


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
