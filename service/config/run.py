"""What the configurations of all pipelines that train share."""

from service.config.base import Config
from service.config.optimization import CosineConfig, OptimizerChoice, ScheduleChoice, SGDConfig
from service.config.training import (
    CheckpointConfig,
    ClusterConfig,
    ExpectedConfig,
    StorageConfig,
    TrackingConfig,
    TrainingConfig,
)


class RunConfig(Config):
    """A run; each kind of training adds its `model` and what goes with it."""

    name: str | None = None
    """Name of the run under the storage path, for Ray, for the checkpoints and for MLflow; null
    makes a new one."""
    model: Config = Config()
    """The network."""
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

    @property
    def synchronised_norm_field(self) -> str | None:
        """Path of the field that asks for batch normalisation over all workers, if one does."""
        return "training.sync_batch_norm" if self.training.sync_batch_norm else None
