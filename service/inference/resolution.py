"""Evaluating at another resolution than the checkpoint's own."""

from dataclasses import replace

from service.config.data import EvaluationPicturesConfig
from service.config.detection_data import DetectionEvaluationConfig
from service.config.errors import ConfigurationError
from service.config.loading import validate
from service.config.small_data import SmallEvaluationPicturesConfig
from service.inference.trained import Trained


def at_resolution(trained: Trained, pixels: int) -> Trained:
    """Returns a checkpoint that is evaluated on larger or smaller views.

    A classifier's crop gets this side, and what it is cut from is resized in proportion, rounded
    down as in timm: 256 → 224 becomes 329 → 288. A detector's pictures get this shorter side, and
    the bound on the longer one grows in proportion.

    Args:
        trained: The checkpoint.
        pixels: Side of the crop, or a detector's shorter side.

    Raises:
        ConfigurationError: The pictures have a fixed size, or the configuration has a bound.
    """
    config = trained.config
    match config.data.evaluation:
        case EvaluationPicturesConfig() as before:
            sizes = {"size": pixels, "resize": pixels * before.resize // before.size}
        case DetectionEvaluationConfig() as before:
            sizes = {"short_side": pixels, "longest": pixels * before.longest // before.short_side}
        case SmallEvaluationPicturesConfig():
            raise ConfigurationError(
                f"--resolution: pictures of {config.data.kind} are evaluated as they are, at "
                "32 × 32; leave it away"
            )
    tree = config.model_dump(mode="json")
    tree["data"]["evaluation"] |= sizes
    try:
        changed = validate(type(config), tree)
    except ConfigurationError as error:
        reasons = "; ".join(str(error).splitlines())
        raise ConfigurationError(f"--resolution: {pixels}: {reasons}") from error
    return replace(trained, config=changed)
