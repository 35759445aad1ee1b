"""The residual network of a run: a classifier, or the backbone of a detector."""

from typing import TypeVar, cast

from service.config.detector import BackboneConfig, DetectorConfig
from service.config.errors import ConfigurationError
from service.config.model import ModelConfig
from service.config.run import RunConfig
from service.models.completion import resolved
from service.models.families import network_name

R = TypeVar("R", bound=RunConfig)


def network_of(config: RunConfig) -> ModelConfig:
    """Returns the residual network that a run trains, alone or as a detector's backbone."""
    model = config.model
    return model.backbone if isinstance(model, DetectorConfig) else cast(ModelConfig, model)


def resolved_run(config: R) -> R:
    """Returns a run's configuration with its network as it is built; see `build.resolved`.

    Raises:
        ConfigurationError: The network does not take its regulariser; names the field.
    """
    if not isinstance(config.model, DetectorConfig):
        return config.model_copy(update={"model": resolved(network_of(config))})
    backbone = resolved_backbone(config.model.backbone)
    return config.model_copy(
        update={"model": config.model.model_copy(update={"backbone": backbone})}
    )


def resolved_backbone(config: BackboneConfig) -> BackboneConfig:
    """Returns a detector's backbone as it is built.

    Raises:
        ConfigurationError: The network does not take its regulariser; names the field.
    """
    try:
        return cast(BackboneConfig, resolved(config))
    except ConfigurationError as error:
        raise ConfigurationError(
            "\n".join(
                line.replace("model.", "model.backbone.", 1) if line.startswith("model.") else line
                for line in str(error).splitlines()
            )
        ) from error


def run_label(config: RunConfig) -> str:
    """Returns what a run trains, for its name: `shakedrop-resnet50`, `mask_rcnn-none-resnet50`."""
    network = network_of(config)
    label = f"{network.regularizer.kind}-{network_name(network)}"
    return f"{config.model.kind}-{label}" if isinstance(config.model, DetectorConfig) else label
