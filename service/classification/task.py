"""Image classification as the loop sees it."""

from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from service.classification.checking import Recipe, datasets_folder
from service.classification.evaluation import Tally
from service.classification.loss import build_loss
from service.classification.mixing import Mixing
from service.config.changes import check_changes
from service.data.batch import Batch
from service.data.loading import evaluation_batches, loading_processes, training_batches
from service.data.normalization import Normalization
from service.data.order import SampleOrder
from service.data.preprocessing import preprocessing
from service.data.skipping import SkippedPictures, most_skipped
from service.data.splits import open_splits
from service.models.build import build_network
from service.models.weights import load_weights
from service.training.length import RunLength
from service.training.ramp import StrengthRamp
from service.training.worker import Worker


class ClassificationTask:
    """A network that names what a picture shows; see `service.training.task.Task`.

    Args:
        config: The whole configuration, resolved.
        storage: Folder of all runs.
        worker: This process among those that train together.
    """

    def __init__(self, config: Recipe, storage: Path, worker: Worker) -> None:
        self._config = config
        self._worker = worker
        self._splits = open_splits(config.data, datasets_folder(storage))
        self._classes = config.model.classes or len(self._splits.train.classes)
        torch.manual_seed(config.training.seed)
        network = build_network(config.model, self._classes).to(worker.device)
        if config.model.weights is not None:
            load_weights(network, config.model.weights)
        self.model: nn.Module = network
        self._ramp = StrengthRamp(network, config.model.regularizer)
        self.samples_per_epoch = len(self._splits.train)
        self.learning_rate_factors: Mapping[str, float] = {}
        self._normalization = Normalization(config.data.mean, config.data.std).to(worker.device)
        self._loss = build_loss(config.loss)
        self._mixing = Mixing(config.mixing, self._classes)
        most = most_skipped(config.data)
        self._skipped = SkippedPictures("training", self.samples_per_epoch, most, worker.warn)
        self._skipped_in_evaluation = SkippedPictures(
            "evaluation", len(self._splits.evaluation), most, worker.warn
        )

    def train_batches(self, position: int) -> Generator[Batch, None, None]:
        """Yields this worker's micro-batches for ever, from the step that starts at `position`."""
        config = self._config
        order = SampleOrder(
            len(self._splits.train), config.training.seed, config.data.train.repeats
        )
        batches = training_batches(
            self._splits.train,
            config.data,
            order,
            start=position,
            batch_size=config.training.batch_size,
            accumulation=config.training.accumulation,
            rank=self._worker.rank,
            world_size=self._worker.world_size,
            loading_processes=self._loading_processes(),
        )
        return self._skipped.noted(batches)

    def change(self, config: Recipe) -> None:
        """Takes over other strengths of the regulariser, loss and mixing, in place.

        Raises:
            ConfigurationError: It differs in what cannot change in a running training.
        """
        check_changes(self._config, config)
        self._config = config
        self._ramp.change(config.model.regularizer)
        self._loss = build_loss(config.loss)
        self._mixing = Mixing(config.mixing, self._classes)

    def begin_step(self, step: int, length: RunLength) -> None:
        """Sets the regulariser's strength for the step."""
        self._ramp.move_to(step, length)

    def loss(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Returns the mean loss of a micro-batch, and its top-1 in percent unless it was mixed."""
        pictures, targets = self._mixing(self._normalized(batch), batch.labels)
        logits = model(pictures)
        loss = self._loss(logits, targets)
        if self._mixing.active:
            return loss, {}
        top1 = 100 * (logits.detach().argmax(1) == batch.labels).float().mean()
        return loss, {"top1": top1}

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Returns top-1 and top-5 (percent) and loss over all evaluation pictures, each once.

        What has to be skipped does not count.
        """
        worker, pictures = self._worker, self._splits.evaluation
        tally = Tally(worker.device)
        batches = evaluation_batches(
            pictures,
            self._config.data,
            rank=worker.rank,
            world_size=worker.world_size,
            loading_processes=self._loading_processes(),
        )
        for batch in self._skipped_in_evaluation.noted(batches):
            if len(batch):
                moved = batch.to(worker.device)
                tally.add(model(self._normalized(moved)), moved.labels)
            worker.moved_on()
        skipped = self._skipped_in_evaluation.agree()
        figures = tally.figures(len(pictures) - skipped)
        return {**figures, **self._skipped_in_evaluation.figure(skipped)}

    def metadata(self) -> dict[str, Any]:
        """Returns class names and preprocessing: what using the model later needs."""
        return {
            "task": "classification",
            "classes": list(self._splits.train.classes),
            "preprocessing": preprocessing(self._config.data),
        }

    def counts(self) -> dict[str, float]:
        """Returns how many training pictures were skipped so far, if any may be."""
        return self._skipped.counts()

    def state_dict(self) -> dict[str, Any]:
        """Returns which pictures were skipped; the position determines all else."""
        return self._skipped.state_dict() | self._skipped_in_evaluation.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores which pictures were skipped."""
        self._skipped.load_state_dict(state)
        self._skipped_in_evaluation.load_state_dict(state)

    def _normalized(self, batch: Batch) -> Tensor:
        order = torch.channels_last if self._config.training.channels_last else None
        pictures: Tensor = self._normalization(
            batch.pictures, memory_format=order or torch.contiguous_format
        )
        return pictures

    def _loading_processes(self) -> int:
        worker = self._worker
        return loading_processes(self._config.data.loading_processes, worker.cpus, worker.device)
