"""From an opened checkpoint to a network that answers."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from service.config.coco import COCOConfig
from service.config.errors import ConfigurationError
from service.data.normalization import Normalization
from service.detection.detectors import build_detector
from service.inference.strengths import restore_strengths
from service.inference.trained import Trained
from service.models.build import build_network
from service.training.wrapping import autocast, prepare


@contextmanager
def answering(trained: Trained, device: torch.device) -> Iterator[None]:
    """Opens the context in which training evaluates: no gradients, and its precision."""
    with torch.no_grad(), autocast(device, trained.config.training):
        yield


class Classifier:
    """A trained classifier.

    Attributes:
        outputs: How many it has, C; perhaps more than there are classes.

    Args:
        trained: Its checkpoint.
        device: Where it shall live.

    Raises:
        ConfigurationError: The weights are not those of the configuration's network.
    """

    def __init__(self, trained: Trained, device: torch.device) -> None:
        config = trained.config
        if isinstance(config, COCOConfig):
            raise TypeError("a detector is no classifier")
        self.trained = trained
        self.device = device
        self.outputs = config.model.classes or len(trained.classes)
        self.network = _loaded(build_network(config.model, self.outputs), trained, device)
        self._normalization = Normalization(config.data.mean, config.data.std).to(device)
        self._order = (
            torch.channels_last if config.training.channels_last else torch.contiguous_format
        )

    def logits(self, pictures: Tensor) -> Tensor:
        """Returns logits (n, C) of views, uint8 (n, 3, S, S) on the classifier's device."""
        normalized = self._normalization(pictures, memory_format=self._order)
        with answering(self.trained, self.device):
            logits: Tensor = self.network(normalized)
        return logits


class Detector:
    """A trained detector.

    Args:
        trained: Its checkpoint.
        device: Where it shall live.

    Raises:
        ConfigurationError: The weights are not those of the configuration's detector.
    """

    def __init__(self, trained: Trained, device: torch.device) -> None:
        config = trained.config
        if not isinstance(config, COCOConfig):
            raise TypeError("a classifier is no detector")
        self.trained = trained
        self.device = device
        data = config.data
        detector = build_detector(config.model, len(trained.categories), data.mean, data.std)
        self.network = _loaded(detector, trained, device)

    def detect(self, views: list[Tensor]) -> list[dict[str, Tensor]]:
        """Returns what was found in each view, on the CPU; see `service.detection.detectors`.

        Args:
            views: uint8 (3, h, w), on the detector's device.
        """
        with answering(self.trained, self.device):
            found = self.network(views)
        return [{name: value.cpu() for name, value in one.items()} for one in found]


def _loaded(network: nn.Module, trained: Trained, device: torch.device) -> nn.Module:
    """Gives a network its weights, as training holds them; in evaluation mode."""
    prepared = prepare(network.to(device), trained.config.training)
    try:
        prepared.load_state_dict(trained.state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigurationError(
            f"--checkpoint: {trained.folder}: its {trained.weights} weights are not of the network "
            f"that the configuration describes ({reason}); override no size of the network"
        ) from error
    restore_strengths(prepared, trained)
    return prepared.requires_grad_(False).eval()
