"""The loop: exact resumption, stopping, skipped steps, accumulation, what is logged and kept."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from toy import Recorder, ToyBatch, ToyTask, local_worker, settings

from service.config.errors import ConfigurationError
from service.config.training import CheckpointConfig
from service.training.checkpoint import CheckpointContent, read_checkpoint
from service.training.loop import NonFiniteError, Settings, train
from service.training.retention import checkpoint_folder, checkpoint_folders


def run(folder: Path, how: Settings, recorder: Recorder, task: ToyTask | None = None) -> ToyTask:
    task = task or ToyTask(how.training)
    train(task, local_worker(folder, recorder, how), how)
    return task


def assert_equal(one: CheckpointContent, other: CheckpointContent) -> None:
    for name, tensor in one.model.items():
        assert torch.equal(tensor, other.model[name]), name
    assert (one.ema is None) == (other.ema is None)
    for name, tensor in (one.ema or {}).items():
        assert torch.equal(tensor, (other.ema or {})[name]), name
    momentum, other_momentum = (c.state["optimizer"]["state"] for c in (one, other))
    for index, state in momentum.items():
        assert torch.equal(state["momentum_buffer"], other_momentum[index]["momentum_buffer"])
    assert one.state["position"] == other.state["position"]
    assert one.state["best"] == other.state["best"]


@pytest.mark.parametrize("at", [1, 3, 4, 7])
def test_a_run_resumed_at_any_step_ends_with_the_same_bits(tmp_path: Path, at: int) -> None:
    how = settings()
    whole, first, second = Recorder(), Recorder(stop_at=at), Recorder()
    run(tmp_path / "whole", how, whole)
    run(tmp_path / "cut", how, first)
    assert max(first.metrics) == at
    run(tmp_path / "cut", how, second)
    last = checkpoint_folder(Path(), 8).name
    assert_equal(
        read_checkpoint(tmp_path / "whole" / last), read_checkpoint(tmp_path / "cut" / last)
    )
    resumed = first.metrics | second.metrics
    assert set(resumed) == set(whole.metrics) == set(range(1, 9))
    for step, metrics in whole.metrics.items():
        assert metrics["train/loss"] == resumed[step]["train/loss"]


def test_the_task_is_told_the_step_before_each(tmp_path: Path) -> None:
    how = settings()
    first = run(tmp_path, how, Recorder(stop_at=5))
    second = run(tmp_path, how, Recorder())
    assert first.begun == [0, 1, 2, 3, 4]
    assert second.begun == [5, 6, 7]


def test_a_killed_run_repeats_from_the_checkpoint_before_a_damaged_one(tmp_path: Path) -> None:
    how = settings()
    run(tmp_path / "whole", how, Recorder())
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    for folder in checkpoint_folders(tmp_path / "cut")[:-1]:
        shutil.rmtree(folder) if folder.name != "step_00000006" else (
            folder / "model.safetensors"
        ).write_bytes(b"damaged")
    recorder = Recorder()
    run(tmp_path / "cut", how, recorder)
    assert min(recorder.metrics) == 4
    assert len(recorder.warnings) == 1
    assert "step_00000006" in recorder.warnings[0]
    last = checkpoint_folder(Path(), 8).name
    assert_equal(
        read_checkpoint(tmp_path / "whole" / last), read_checkpoint(tmp_path / "cut" / last)
    )


def test_a_finished_run_does_nothing_and_returns_its_figures(tmp_path: Path) -> None:
    how = settings()
    recorder = Recorder()
    task = run(tmp_path, how, recorder)
    again = Recorder()
    figures = train(task, local_worker(tmp_path, again, how), how)
    assert again.metrics == {}
    assert figures["val/top1"] == recorder.metrics[8]["val/top1"]


def test_a_checkpoint_between_evaluations_carries_no_stale_figure(tmp_path: Path) -> None:
    run(tmp_path, settings(), Recorder())
    assert "val/top1" in read_checkpoint(checkpoint_folder(tmp_path, 4)).metrics
    assert "val/top1" not in read_checkpoint(checkpoint_folder(tmp_path, 6)).metrics


def test_checkpoints_by_the_clock_are_written_where_the_loop_logs(tmp_path: Path) -> None:
    how = settings(log_every=3)
    by_clock = CheckpointConfig(every_steps=None, every_minutes=1e-9, keep=100)
    run(tmp_path, replace(how, checkpoint=by_clock), Recorder())
    names = sorted(folder.name for folder in checkpoint_folders(tmp_path))
    assert names == [checkpoint_folder(Path(), step).name for step in (3, 4, 6, 8)]


def test_evaluations_fall_where_epochs_end_and_the_best_is_first(tmp_path: Path) -> None:
    # 40 samples, 16 a step: epochs end within steps 3 and 5.
    recorder = Recorder()
    run(tmp_path, settings(batch_size=16), recorder)
    evaluated = {s: m for s, m in recorder.metrics.items() if "val/top1" in m}
    assert set(evaluated) == {3, 5}
    names = [name for name in evaluated[5] if name.startswith("val/")]
    assert names[0] == "val/best_top1"
    assert evaluated[5]["val/best_top1"] == max(m["val/top1"] for m in evaluated.values())
    assert "val/ema_top1" in evaluated[5]


def test_accumulation_gives_the_gradient_of_the_whole_batch(tmp_path: Path) -> None:
    def without_norm(**training: object) -> torch.Tensor:
        how = settings(**training)
        task = ToyTask(how.training)
        # Batch normalisation and dropout do depend on the micro-batch; the rest must not.
        task.model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(108, 4))
        run(tmp_path / str(training), how, Recorder(), task)
        return task.model[1].weight.detach()

    whole, split = without_norm(accumulation=1), without_norm(accumulation=3)
    torch.testing.assert_close(split, whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_step_with_nan_is_skipped_and_counted(tmp_path: Path, precision: str) -> None:
    how = settings(precision=precision, log_every=1)
    task = ToyTask(how.training)
    task.poisoned = frozenset({2})
    recorder = Recorder()
    run(tmp_path, how, recorder, task)
    assert recorder.metrics[2]["train/skipped_steps"] == 0
    assert recorder.metrics[3]["train/skipped_steps"] == 1
    assert "train/loss" not in recorder.metrics[3]
    assert recorder.metrics[8]["train/skipped_steps"] == 1
    assert all(p.isfinite().all() for p in task.model.state_dict().values())


class InfiniteLossTask(ToyTask):
    """Has, in its third step, an infinite loss whose gradient is finite."""

    def loss(self, model: nn.Module, batch: ToyBatch) -> tuple[Tensor, Mapping[str, Tensor]]:
        loss, scalars = super().loss(model, batch)
        return (loss + torch.inf if self.begun[-1] == 2 else loss), scalars


def test_an_infinite_loss_with_a_finite_gradient_is_skipped_too(tmp_path: Path) -> None:
    how = settings(log_every=1)
    recorder = Recorder()
    task = InfiniteLossTask(how.training)
    run(tmp_path, how, recorder, task)
    assert recorder.metrics[2]["train/skipped_steps"] == 0
    assert recorder.metrics[8]["train/skipped_steps"] == 1
    assert all(p.isfinite().all() for p in task.model.state_dict().values())


def test_too_many_skipped_steps_end_the_run(tmp_path: Path) -> None:
    how = settings(max_skipped_steps=2)
    task = ToyTask(how.training)
    task.poisoned = frozenset(range(3, 8))
    with pytest.raises(NonFiniteError, match=r"3 steps in a row up to step 6 .*of step 4$"):
        run(tmp_path, how, Recorder(), task)
    assert checkpoint_folders(tmp_path)[0].name == "step_00000004"


def test_another_batch_size_is_refused_on_resumption(tmp_path: Path) -> None:
    run(tmp_path, settings(), Recorder(stop_at=4))
    with pytest.raises(ConfigurationError, match=r"training\.batch_size: the run began with 10"):
        run(tmp_path, settings(batch_size=20), Recorder())


class Watch(TorchDispatchMode):
    """Counts scalars that the host reads, which on a GPU means waiting for it."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):  # noqa: ANN001, ANN204
        self.reads += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_step_never_reads_from_the_device(tmp_path: Path, precision: str) -> None:
    how = settings(log_every=1000, precision=precision)
    how = replace(how, checkpoint=CheckpointConfig(every_steps=None, every_minutes=None))
    task = ToyTask(how.training)
    batches, watch = task.train_batches, Watch()

    def watched(position: int) -> Iterator[ToyBatch]:
        for index, batch in enumerate(batches(position)):
            if index == 0:
                watch.__enter__()
            if index == 3:  # three whole steps later, before the first evaluation
                watch.__exit__(None, None, None)
            yield batch

    task.train_batches = watched  # type: ignore[method-assign]
    run(tmp_path, how, Recorder(), task)
    assert watch.reads == 0
    with watch:
        torch.ones(()).item()
    assert watch.reads == 1
