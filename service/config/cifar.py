"""The configuration of `pipelines/cifar.py`."""

from service.config.classification import ClassificationConfig
from service.config.model import CIFARResNetConfig, ModelConfig
from service.config.small_data import CIFAR10DataConfig, SmallDataConfig
from service.config.training import TrackingConfig


class CIFARConfig(ClassificationConfig):
    """Image classification on CIFAR and SVHN, pictures of 32 × 32 pixels."""

    model: ModelConfig = CIFARResNetConfig()
    """The network."""
    data: SmallDataConfig = CIFAR10DataConfig()
    """The pictures."""
    tracking: TrackingConfig = TrackingConfig(experiment="cifar")
    """MLflow."""
