"""Completes a network's configuration by what follows from the rest of it; needs no torch."""

from service.config.errors import ConfigurationError
from service.config.model import ModelConfig
from service.config.regularizer import AlphaRange, RegularizerConfig, ShakeDropConfig
from service.models.design import Design, ends_with_norm
from service.models.families import design_of
from service.models.suitability import refusal


def resolved(config: ModelConfig) -> ModelConfig:
    """Returns the configuration as it is built: with both ends of ShakeDrop's α range filled in.

    An end left open becomes that of [−1, 1] where the branch ends the block, and 0 where a ReLU
    follows the addition (post_activation): the ranges that the paper found for either (arXiv
    1802.02375).

    Raises:
        ConfigurationError: The network does not take its regulariser, the end of α's range that is
            given does not fit the end that is filled in, or there is no last γ to begin at 0.
    """
    design, regularizer = design_of(config), config.regularizer
    reason = refusal(design, regularizer)
    if reason is not None:
        raise ConfigurationError(reason)
    if config.zero_init_last_gamma and not has_last_norms(design, regularizer):
        raise ConfigurationError(
            "model.zero_init_last_gamma: a pre-activation branch without ShakeDrop ends with a "
            "convolution and has no last γ; set it to false"
        )
    if not isinstance(regularizer, ShakeDropConfig):
        return config
    filled = regularizer.model_copy(update={"alpha": _filled(regularizer.alpha, design)})
    return config.model_copy(update={"regularizer": filled})


def has_last_norms(design: Design, regularizer: RegularizerConfig) -> bool:
    """Returns whether each branch ends with batch normalisation.

    A pre-activation branch ends with a convolution, whose output nothing bounds. ShakeDrop turns
    such a branch around at will (α < 0), and training may diverge (arXiv 1802.02375): under
    ShakeDrop each branch ends with a batch normalisation of its own.
    """
    return ends_with_norm(design.order) or isinstance(regularizer, ShakeDropConfig)


def _filled(given: AlphaRange, design: Design) -> AlphaRange:
    low, high = (0.0, 0.0) if design.relu_after_addition else (-1.0, 1.0)
    low = low if given.low is None else given.low
    high = high if given.high is None else given.high
    if low > high:
        raise ConfigurationError(
            f"model.regularizer.alpha: low {low:g} exceeds high {high:g} once the order "
            f"{design.order} has filled in the end left open; give both low and high"
        )
    return AlphaRange(low=low, high=high)
