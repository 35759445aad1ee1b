"""Exact evaluation on real JPEG files, for any number of workers."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing

from service.classification.evaluation import Tally
from service.classification.task import ClassificationTask
from service.config.imagenet import ImageNetConfig
from service.config.loading import load

PICTURES = 53

OPTIONS = [
    "data.train_pictures=40",
    f"data.evaluation_pictures={PICTURES}",
    "data.picture_size=24",
    "data.evaluation.resize=18",
    "data.evaluation.size=16",
    "data.evaluation.batch_size=7",
    "data.train.size=16",
    "model.depth=18",
    "model.width=4",
    "model.stem=small",
]


@dataclass
class Worker:
    rank: int
    world_size: int
    device: torch.device = torch.device("cpu")  # noqa: RUF009  # immutable
    cpus: int = 1

    def warn(self, text: str) -> None:
        raise AssertionError(text)

    def moved_on(self) -> None:
        """Nobody waits."""


def _config() -> ImageNetConfig:
    return load(ImageNetConfig, overrides=OPTIONS)


def _evaluate(rank: int, ports: dict[int, int], storage: Path) -> None:
    """Evaluates in groups of several sizes, one after the other, in the same processes."""
    torch.set_num_threads(1)
    for world_size, port in ports.items():
        if rank >= world_size:
            continue
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        dist.init_process_group("gloo", rank=rank, world_size=world_size)
        task = ClassificationTask(_config(), storage, Worker(rank, world_size))
        task.model.eval()
        with torch.no_grad():
            torch.save(task.evaluate(task.model), storage / f"figures{world_size}-{rank}.pt")
        dist.destroy_process_group()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def test_the_figures_are_exact_for_one_to_three_workers(tmp_path: Path) -> None:
    task = ClassificationTask(_config(), tmp_path, Worker(0, 1))
    task.model.eval()
    with torch.no_grad():
        alone = task.evaluate(task.model)
    # 53 pictures leave a remainder for two and for three workers, and for batches of 7.
    assert (alone["top1"] * PICTURES / 100) == pytest.approx(round(alone["top1"] * PICTURES / 100))
    ports = {world_size: _free_port() for world_size in (3, 2)}
    multiprocessing.spawn(_evaluate, (ports, tmp_path), nprocs=3)
    files = sorted(tmp_path.glob("figures*.pt"))
    assert len(files) == 3 + 2
    for file in files:
        figures = torch.load(file, weights_only=True)
        assert figures["top1"] == alone["top1"]
        assert figures["top5"] == alone["top5"]
        assert figures["loss"] == pytest.approx(alone["loss"], rel=1e-6)


def test_top_k_and_loss_of_known_answers() -> None:
    logits = torch.tensor([[9.0, 8, 7, 6, 5, 4], [4, 5, 6, 7, 8, 9]])
    tally = Tally(torch.device("cpu"))
    tally.add(logits, torch.tensor([0, 0]))
    tally.add(logits[:1], torch.tensor([4]))
    figures = tally.figures(3)
    assert figures["top1"] == pytest.approx(100 / 3)
    assert figures["top5"] == pytest.approx(200 / 3)
    losses = torch.nn.functional.cross_entropy(
        torch.cat([logits, logits[:1]]), torch.tensor([0, 0, 4])
    )
    assert figures["loss"] == pytest.approx(losses.item())


def test_a_missing_picture_is_an_error_not_a_better_figure() -> None:
    tally = Tally(torch.device("cpu"))
    tally.add(torch.ones(2, 3), torch.tensor([0, 1]))
    with pytest.raises(RuntimeError, match="evaluated 2 pictures of 3"):
        tally.figures(3)


def test_fewer_than_five_classes_have_a_top5_of_100() -> None:
    tally = Tally(torch.device("cpu"))
    tally.add(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 1]))
    assert tally.figures(2)["top5"] == 100
