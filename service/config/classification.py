"""What the configurations of all classification pipelines share."""

from service.config.model import ModelConfig, ResNetConfig
from service.config.optimization import CrossEntropyConfig, LossConfig, MixingConfig
from service.config.run import RunConfig


class ClassificationConfig(RunConfig):
    """Image classification; each pipeline adds its `data`."""

    model: ModelConfig = ResNetConfig()
    """The network."""
    loss: LossConfig = CrossEntropyConfig()
    """The loss."""
    mixing: MixingConfig = MixingConfig()
    """mixup and CutMix."""
