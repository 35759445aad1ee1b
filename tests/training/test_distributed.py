"""The loop in several processes: DDP over gloo gives what one process gives."""

import json
import os
import socket
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
from toy import Recorder, ToyTask, local_worker, settings

from service.config.durations import Duration
from service.config.optimization import AveragingConfig
from service.training.checkpoint import read_checkpoint
from service.training.loop import train
from service.training.retention import checkpoint_folder


class Silent:
    """A worker other than rank 0: it writes nothing."""

    def __init__(self, worker, rank: int, world_size: int) -> None:  # noqa: ANN001
        self._worker = worker
        self.rank, self.world_size = rank, world_size
        self.device, self.cpus = worker.device, 1
        self.log = worker.log
        self.attach = worker.attach
        self.warn = worker.warn
        self.latest_checkpoint = worker.latest_checkpoint
        self.stop_requested = worker.stop_requested
        self.turn = worker.turn
        self.save = worker.save
        self.moved_on = worker.moved_on
        self.save_requested = worker.save_requested
        # Retention tidies up what a killed writer left, so only the process that writes may do it.
        self.finish = worker.finish if rank == 0 else lambda: None


def _task(rank: int, world_size: int, *, divided: bool = False) -> ToyTask:
    """Returns a task whose network does not depend on how a batch is divided, unless asked."""
    task = ToyTask(settings().training, rank, world_size)
    if not divided:
        task.model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(108, 4))
    return task


def _work(
    rank: int,
    world_size: int,
    port: int,
    folder: Path,
    poisoned: frozenset[int],
    divided: bool,
    training: dict[str, Any],
) -> None:
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=world_size)
    how = settings(**training)
    task = _task(rank, world_size, divided=divided)
    task.poisoned = poisoned
    worker = Silent(local_worker(folder, Recorder(), how), rank, world_size)
    figures = train(task, worker, how)
    torch.save(task.model.state_dict(), folder / f"rank{rank}.pt")
    (folder / f"rank{rank}.json").write_text(json.dumps(figures))
    dist.destroy_process_group()


def _train(
    folder: Path,
    world_size: int,
    poisoned: frozenset[int] = frozenset(),
    *,
    divided: bool = False,
    **training: Any,  # noqa: ANN401  # fields of TrainingConfig
) -> list[dict]:
    folder.mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    given = (world_size, port, folder, poisoned, divided, training)
    multiprocessing.spawn(_work, given, nprocs=world_size)
    return [torch.load(folder / f"rank{r}.pt", weights_only=True) for r in range(world_size)]


def test_workers_hold_the_same_weights_and_those_of_one_process(tmp_path: Path) -> None:
    # 10 samples on 3 workers: shares of 4, 3 and 3, which must weigh as samples, not as workers.
    how = settings()
    alone = _task(0, 1)
    train(alone, local_worker(tmp_path / "alone", Recorder(), how), how)
    together = _train(tmp_path / "together", 3)
    for weights in together[1:]:
        assert torch.equal(weights["1.weight"], together[0]["1.weight"])
    torch.testing.assert_close(
        together[0]["1.weight"], alone.model.state_dict()["1.weight"], rtol=1e-5, atol=1e-6
    )


def test_nan_on_one_rank_skips_the_step_on_all(tmp_path: Path) -> None:
    weights = _train(tmp_path / "run", 2, frozenset({2}))
    assert torch.equal(weights[0]["1.weight"], weights[1]["1.weight"])
    assert weights[0]["1.weight"].isfinite().all()
    state = read_checkpoint(checkpoint_folder(tmp_path / "run", 8)).state
    assert state["guard"]["skipped"] == 1


def test_one_worker_does_what_two_would_do_with_the_same_micro_batches(tmp_path: Path) -> None:
    """Also where batch normalisation and dropout see micro-batches: an elastic run goes on so."""
    two, other = _train(tmp_path / "two", 2, divided=True)
    how = settings(accumulation=2)
    alone = ToyTask(how.training)
    train(alone, local_worker(tmp_path / "one", Recorder(), how), how)
    for name, parameter in alone.model.named_parameters():
        torch.testing.assert_close(two[name], parameter.detach(), rtol=1e-4, atol=1e-5)
    # Each worker has normalised its own micro-batches; evaluation is rank 0's network on both.
    assert torch.equal(two["1.running_mean"], other["1.running_mean"])
    figures = [json.loads((tmp_path / "two" / f"rank{r}.json").read_text()) for r in range(2)]
    timed = {name for name in figures[0] if name.startswith("time/")}
    assert figures[0].keys() - timed >= {"val/top1", "val/ema_top1"}
    assert all(figures[0][name] == figures[1][name] for name in figures[0].keys() - timed)


def test_gradients_sent_as_bf16_differ_by_their_rounding_and_stay_the_same_on_all_workers(
    tmp_path: Path,
) -> None:
    """A step moves each weight by lr · g; each of the two summands of g has 8 bits."""
    one = {"duration": Duration(1, "st"), "average": AveragingConfig(enabled=False)}
    how, alone = settings(**one), _task(0, 1)
    start = alone.model.state_dict()["1.weight"].clone()
    train(alone, local_worker(tmp_path / "alone", Recorder(), how), how)
    sent = _train(tmp_path / "sent", 2, **one, gradient_compression="bf16")
    step = alone.model.state_dict()["1.weight"] - start
    compressed = sent[0]["1.weight"] - start
    assert torch.equal(sent[0]["1.weight"], sent[1]["1.weight"])
    # More than the rounding of fp32, at most that of bf16.
    assert 2**-16 < (compressed - step).abs().max() / step.abs().max() <= 2**-6
