"""What the loop reads of a configuration."""

from dataclasses import dataclass

from service.config.optimization import OptimizerChoice, ScheduleChoice
from service.config.training import CheckpointConfig, TrainingConfig


@dataclass(frozen=True)
class Settings:
    """The parts of the configuration that the loop reads."""

    training: TrainingConfig
    optimizer: OptimizerChoice
    schedule: ScheduleChoice
    checkpoint: CheckpointConfig
    config_yaml: str
    """The whole resolved configuration, kept in each checkpoint."""
