"""What is exported of a classifier: pictures in, logits out, and what its users must know."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from service.config.coco import COCOConfig
from service.data.normalization import Normalization
from service.data.preprocessing import preprocessing
from service.export.pictures import Samples
from service.inference.networks import Classifier
from service.inference.trained import Trained

INPUT = "pictures"
OUTPUT = "logits"
_AT_ONCE = 4  # pictures of a forward pass


class PictureClassifier(nn.Module):
    """Normalises and classifies, in single precision.

    Normalisation is inside, so that nobody has to know its constants, and a batch is a quarter of
    the size.

    Args:
        network: Takes normalised pictures.
        normalization: Of the training pictures.
    """

    def __init__(self, network: nn.Module, normalization: Normalization) -> None:
        super().__init__()
        self.network = network
        self.normalization = normalization

    def forward(self, pictures: Tensor) -> Tensor:
        """Returns logits (n, C) of views, uint8 (n, 3, S, S)."""
        logits: Tensor = self.network(self.normalization(pictures))
        return logits


@dataclass(frozen=True)
class Original:
    """A classifier and what it answers: what every file is compared with."""

    trained: Trained
    """Its checkpoint."""
    network: PictureClassifier
    """On the CPU, in evaluation mode."""
    pictures: Samples
    """Some pictures."""
    logits: Tensor
    """Its answers to them, (n, C)."""
    described: dict[str, Any]
    """What its users must know; JSON."""


def original(trained: Trained, pictures: Samples) -> Original:
    """Returns a trained classifier with its answers.

    Raises:
        ConfigurationError: The weights are not those of the configuration's network.
    """
    network = picture_classifier(trained)
    answered = logits(network, pictures.views)
    return Original(trained, network, pictures, answered, _description(trained, answered.shape[1]))


def logits(network: PictureClassifier, views: Tensor) -> Tensor:
    """Returns logits (n, C) of views, uint8 (n, 3, S, S)."""
    with torch.no_grad():
        return torch.cat([network(batch) for batch in torch.split(views, _AT_ONCE)])


def picture_classifier(trained: Trained) -> PictureClassifier:
    """Returns a trained classifier on the CPU, in evaluation mode.

    Raises:
        ConfigurationError: The weights are not those of the configuration's network.
    """
    data = trained.config.data
    network = Classifier(trained, torch.device("cpu")).network
    # The exporters keep strides, and complain of those that leave no tensor contiguous.
    contiguous = network.to(memory_format=torch.contiguous_format)
    return PictureClassifier(contiguous, Normalization(data.mean, data.std)).eval()


def _description(trained: Trained, outputs: int) -> dict[str, Any]:
    """Returns what a user must know, JSON.

    Args:
        trained: The classifier.
        outputs: Outputs of the network; it may have some that no class was ever trained for.
    """
    config = trained.config
    if isinstance(config, COCOConfig):
        raise TypeError("a detector is no classifier")
    names = list(trained.names(outputs))
    steps = preprocessing(config.data)
    return {
        "task": "classification",
        "classes": names,
        "preprocessing": steps,
        "input": {
            "name": INPUT,
            "type": "uint8",
            "shape": ["batch", 3, steps["size"], steps["size"]],
            "channels": "RGB",
            "range": [0, 255],
            "view": "the picture upright; its shorter side resized to `resize` with antialiasing; "
            "the central `size` × `size` pixels; not normalised: `mean` and `std` are inside",
        },
        "output": {
            "name": OUTPUT,
            "type": "float32",
            "shape": ["batch", outputs],
            "meaning": "softmax makes probabilities of it, in the order of `classes`",
        },
        "checkpoint_sha256": trained.sha256,
    }
