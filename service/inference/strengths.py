"""The strength of regularisers at the moment a checkpoint was written.

In evaluation ShakeDrop and stochastic depth multiply by an expectation, which depends on their
strength. Where it ramps up over the run, weights from the middle belong to the strength of then.
"""

from typing import cast

from torch import nn

from service.config.coco import COCOConfig
from service.detection.strength_ramps import strength_ramps
from service.inference.trained import Trained, undamaged
from service.models.network import ResidualNetwork
from service.models.resolution import network_of
from service.training.checkpoint import read_checkpoint
from service.training.checkpoint_files import STATE
from service.training.length import RunLength
from service.training.manifest import read_manifest
from service.training.ramp import StrengthRamp

_EPOCH = "train/epoch"


def restore_strengths(network: nn.Module, trained: Trained) -> None:
    """Sets the strengths with which training evaluated the checkpoint, in place.

    They are the configured ones unless they ramp up and the run was not at its end.

    Raises:
        ConfigurationError: The position cannot be read.
    """
    moment = _moment(trained) if ramps_up(trained) else None
    if moment is None:
        return
    step, length = moment
    config = trained.config
    if isinstance(config, COCOConfig):
        strength_ramps(network, config.model).move_to(step, length)
    else:
        ramp = StrengthRamp(cast(ResidualNetwork, network), config.model.regularizer)
        ramp.move_to(step, length)


def ramps_up(trained: Trained) -> bool:
    """Returns whether a strength changes during the run."""
    model = trained.config.model
    parts = (network_of(trained.config).regularizer, getattr(model, "pyramid_drop_block", None))
    ramps = (getattr(part, "ramp", None) for part in parts)
    return any(ramp is not None and ramp.over.value > 0 for ramp in ramps)


def _moment(trained: Trained) -> tuple[int, RunLength] | None:
    """Returns the last step taken and the run's length; None where the run had ended."""
    epoch, samples = trained.metrics.get(_EPOCH), position(trained)
    # Weights that were exported without their position are a finished run's.
    if not epoch or samples is None:
        return None
    training = trained.config.training
    # The epoch is a quotient of whole numbers, one of which is wanted.
    length = RunLength(round(samples / epoch), training.batch_size, training.duration)
    if epoch >= length.epochs:
        return None
    return samples // training.batch_size - 1, length


def position(trained: Trained) -> int | None:
    """Returns how many samples training had taken; None where the checkpoint does not say it.

    Raises:
        ConfigurationError: The state of training cannot be read.
    """
    with undamaged():
        if STATE in read_manifest(trained.folder):
            return int(read_checkpoint(trained.folder).state["position"])
    # Exported weights come without that state.
    noted = trained.metadata.get("position")
    return noted if isinstance(noted, int) and noted > 0 else None
