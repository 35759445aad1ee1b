"""The configuration of `pipelines/imagenet.py`."""

from service.config.classification import ClassificationConfig
from service.config.data import DataConfig, DrawnDataConfig


class ImageNetConfig(ClassificationConfig):
    """Image classification on ImageNet-like pictures."""

    data: DataConfig = DrawnDataConfig()
    """The pictures."""
