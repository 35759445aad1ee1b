"""What the configurations of all classification pipelines share."""

from service.config.base import Config
from service.config.model import ModelConfig, ResNetConfig
from service.config.optimization import (
    CosineConfig,
    CrossEntropyConfig,
    LossConfig,
    MixingConfig,
    OptimizerChoice,
    ScheduleChoice,
    SGDConfig,
)
from service.config.training import (
    CheckpointConfig,
    ClusterConfig,
    ExpectedConfig,
    StorageConfig,
    TrackingConfig,
    TrainingConfig,
)


class ClassificationConfig(Config):
    """Image classification; each pipeline adds its `data`."""

    name: str | None = None
    """Name of the run under the storage path, for Ray, for the checkpoints and for MLflow; null
    makes a new one."""
    model: ModelConfig = ResNetConfig()
    """The network."""
    loss: LossConfig = CrossEntropyConfig()
    """The loss."""
    mixing: MixingConfig = MixingConfig()
    """mixup and CutMix."""
    optimizer: OptimizerChoice = SGDConfig()
    """The optimiser."""
    schedule: ScheduleChoice = CosineConfig()
    """The learning rate over time."""
    training: TrainingConfig = TrainingConfig()
    """The loop."""
    checkpoint: CheckpointConfig = CheckpointConfig()
    """Checkpoints."""
    cluster: ClusterConfig = ClusterConfig()
    """Workers."""
    tracking: TrackingConfig = TrackingConfig()
    """MLflow."""
    storage: StorageConfig = StorageConfig()
    """Where runs live."""
    expected: ExpectedConfig | None = None
    """What the recipe should reach."""
