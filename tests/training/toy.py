"""A small task for the loop: a convolutional network with batch normalisation and dropout."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from service.config.durations import Duration
from service.config.optimization import AveragingConfig, CosineConfig, SGDConfig
from service.config.training import CheckpointConfig, TrainingConfig
from service.training.length import RunLength
from service.training.local import LocalWorker
from service.training.settings import Settings
from service.training.turn import Turn

SAMPLES = 40


@dataclass(frozen=True)
class ToyBatch:
    inputs: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> "ToyBatch":
        return ToyBatch(self.inputs.to(device), self.labels.to(device))


class ToyTask:
    """Classifies random pictures; sample i of the stream is sample i mod 40 of a fixed set."""

    def __init__(self, config: TrainingConfig, rank: int = 0, world_size: int = 1) -> None:
        generator = torch.Generator().manual_seed(1)
        self.inputs = torch.randn(SAMPLES, 3, 6, 6, generator=generator)
        self.labels = torch.randint(4, (SAMPLES,), generator=generator)
        self.samples_per_epoch = SAMPLES
        self.learning_rate_factors: dict[str, float] = {}
        self.poisoned: frozenset[int] = frozenset()
        self.begun: list[int] = []
        self.loading: list[int] = []
        self._config, self._rank, self._world_size = config, rank, world_size
        torch.manual_seed(0)
        self.model: nn.Module = nn.Sequential(
            nn.Conv2d(3, 8, 3),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Flatten(),
            nn.Linear(128, 4),
        )

    def train_batches(self, position: int) -> Generator[ToyBatch, None, None]:
        size, parts, start = self._config.batch_size, self._config.accumulation, position
        self.loading.append(start)
        try:
            while True:
                stream = torch.arange(position, position + size)[self._rank :: self._world_size]
                for part in (stream[first::parts] for first in range(parts)):
                    inputs = self.inputs[part % SAMPLES].clone()
                    if position // size in self.poisoned and self._rank == 0:
                        inputs[0] = torch.nan
                    yield ToyBatch(inputs, self.labels[part % SAMPLES])
                position += size
        finally:
            self.loading.remove(start)

    def change(self, config: float) -> None:
        """Takes a rate of dropout."""
        for module in self.model.modules():
            if isinstance(module, nn.Dropout):
                module.p = config

    def begin_step(self, step: int, length: RunLength) -> None:
        self.begun.append(step)

    def loss(self, model: nn.Module, batch: ToyBatch) -> tuple[Tensor, Mapping[str, Tensor]]:
        logits = model(batch.inputs)
        return F.cross_entropy(logits, batch.labels), {"mean_logit": logits.detach().mean()}

    def counts(self) -> dict[str, float]:
        return {}

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        logits = model(self.inputs)
        return {"top1": 100 * (logits.argmax(1) == self.labels).double().mean().item()}

    def metadata(self) -> dict[str, Any]:
        return {"classes": ["a", "b", "c", "d"]}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        assert state == {}


def settings(**training: Any) -> Settings:  # noqa: ANN401  # fields of TrainingConfig
    """Returns settings of 2 epochs, 10 samples a step, which `training` overrides."""
    fields = {
        "duration": Duration(2, "ep"),
        "batch_size": 10,
        "log_every": 1,
        "average": AveragingConfig(enabled=True, decay=0.9),
        "deterministic": True,
        **training,
    }
    return Settings(
        TrainingConfig(**fields),
        SGDConfig(lr=0.05),
        CosineConfig(),
        CheckpointConfig(every_steps=3, every_minutes=None, keep=100),
        "name: toy\n",
    )


class Recorder:
    """Keeps what the loop logs and asks it to stop at a step."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.metrics: dict[int, dict[str, float]] = {}
        self.files: dict[str, bytes] = {}
        self.warnings: list[str] = []
        self._stop_at = stop_at

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self.metrics.setdefault(step, {}).update(metrics)

    def attach(self, path: str, content: bytes) -> None:
        self.files[path] = content

    def stop_requested(self) -> bool:
        return self._stop_at is not None and max(self.metrics) >= self._stop_at


def local_worker(folder: Path, recorder: Recorder, settings: Settings) -> LocalWorker:
    return LocalWorker(
        folder,
        torch.device("cpu"),
        1,
        settings.checkpoint,
        recorder.log,
        recorder.attach,
        recorder.warnings.append,
        recorder.stop_requested,
    )


class SteeredWorker(LocalWorker):
    """A local worker that is told at some steps how to go on; each answer is given once."""

    def __init__(
        self, folder: Path, recorder: Recorder, settings: Settings, turns: Mapping[int, Turn]
    ) -> None:
        super().__init__(
            folder,
            torch.device("cpu"),
            1,
            settings.checkpoint,
            recorder.log,
            recorder.attach,
            recorder.warnings.append,
            recorder.stop_requested,
        )
        self.asked: list[int] = []
        self._turns = dict(turns)

    def turn(self, step: int) -> Turn:
        self.asked.append(step)
        return self._turns.pop(step, "go_on")
