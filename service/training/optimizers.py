"""The optimiser of a run: which parameters decay, how large the peak learning rate is."""

from collections.abc import Iterator, Mapping
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from service.config.errors import ConfigurationError
from service.config.optimization import AdamWConfig, LAMBConfig, OptimizerChoice, SGDConfig

# What tells the state of SGD, AdamW and LAMB apart.
_TELLING = frozenset({"momentum", "betas", "t"})
_NO_FACTORS: Mapping[str, float] = {}
# The normalisation layers whose parameters need not be vectors.
_NORMALISATION = (nn.LayerNorm, nn.RMSNorm)


def build_optimizer(
    model: nn.Module,
    config: OptimizerChoice,
    batch_size: int,
    factors: Mapping[str, float] = _NO_FACTORS,
) -> Optimizer:
    """Builds the optimiser over the parameters of `model` that require a gradient.

    The state is laid out like the parameters, so the model must already be on its device and in
    its memory order. Each group keeps its peak learning rate as `initial_lr`. `load_state_dict`
    refuses the state of other parameters with a ValueError.

    Args:
        model: The bare network (not compiled, not wrapped).
        config: Optimiser and its values.
        batch_size: Samples of one optimiser step over all workers.
        factors: Factor of the learning rate by the beginning of a parameter's name.

    Raises:
        ConfigurationError: LAMB without timm.
    """
    groups = parameter_groups(model, config, factors)
    lr = peak_learning_rate(config, batch_size)
    optimizer = _construct([_without_factor(group) for group in groups], config, lr)
    for group, wanted in zip(optimizer.param_groups, groups, strict=True):
        group["initial_lr"] = lr * wanted["factor"]
    optimizer.register_load_state_dict_pre_hook(_refuse_other_parameters)
    optimizer.register_load_state_dict_post_hook(_match_memory_order)
    return optimizer


def apply_configuration(
    optimizer: Optimizer,
    model: nn.Module,
    config: OptimizerChoice,
    batch_size: int,
    factors: Mapping[str, float] = _NO_FACTORS,
) -> None:
    """Gives an optimiser the values of a configuration; its state stays.

    A loaded state brings the values that it was saved with, which may be those of another run.

    Args:
        optimizer: From `build_optimizer`.
        model: The network it was built for.
        config: Values for an optimiser of the same kind.
        batch_size: Samples of one optimiser step over all workers.
        factors: Factor of the learning rate by the beginning of a parameter's name.
    """
    lr, options = peak_learning_rate(config, batch_size), _options(config)
    groups = parameter_groups(model, config, factors)
    for group, wanted in zip(optimizer.param_groups, groups, strict=True):
        own_lr = lr * wanted["factor"]
        group.update(options, initial_lr=own_lr, weight_decay=wanted["weight_decay"])
    if isinstance(optimizer, SGD):
        _match_momentum(optimizer)


def peak_learning_rate(config: OptimizerChoice, batch_size: int) -> float:
    """Returns lr · batch size / reference batch size, or lr where no reference is given.

    The linear rule of arXiv 1706.02677, section 2.1.
    """
    if config.reference_batch_size is None:
        return config.lr
    return config.lr * batch_size / config.reference_batch_size


def parameter_groups(
    model: nn.Module, config: OptimizerChoice, factors: Mapping[str, float] = _NO_FACTORS
) -> list[dict[str, Any]]:
    """Returns two groups of named parameters, each sorted by name; a group without any is left out.

    The first decays by `weight_decay`: weights of convolutions and linear layers. The second decays
    by `norm_weight_decay`: parameters of normalisation layers, biases and other vectors. Parameters
    that need no gradient are in neither; one that several layers share counts once. Parameters with
    a factor of the learning rate follow in two groups of their own for each factor.
    """
    groups: dict[tuple[float, bool], list[tuple[str, nn.Parameter]]] = {}
    for factor in (1.0, *sorted(set(factors.values()) - {1.0})):
        groups |= {(factor, True): [], (factor, False): []}
    for name, parameter, decays in _classified(model):
        groups[_factor(name, factors), decays].append((name, parameter))
    return [
        {
            "params": sorted(named, key=itemgetter(0)),
            "weight_decay": config.weight_decay if decays else config.norm_weight_decay,
            "factor": factor,
        }
        for (factor, decays), named in groups.items()
        # torch refuses an empty group among named ones.
        if named
    ]


def _factor(name: str, factors: Mapping[str, float]) -> float:
    """Returns the factor of the longest beginning that fits, 1 where none does."""
    fitting = [start for start in factors if name.startswith(start)]
    return factors[max(fitting, key=len)] if fitting else 1.0


def _without_factor(group: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in group.items() if key != "factor"}


def _options(config: OptimizerChoice) -> dict[str, Any]:
    """Returns the values that all groups share, beside the learning rate."""
    match config:
        case SGDConfig():
            # torch refuses nesterov without momentum.
            nesterov = config.nesterov and config.momentum > 0
            return {"momentum": config.momentum, "nesterov": nesterov}
        case AdamWConfig() | LAMBConfig():
            return {"betas": (config.beta1, config.beta2), "eps": config.eps}


def _construct(groups: list[dict[str, Any]], config: OptimizerChoice, lr: float) -> Optimizer:
    options = _options(config)
    match config:
        case SGDConfig():
            sgd = SGD(groups, lr=lr, fused=True, **options)
            _match_momentum(sgd)
            return sgd
        case AdamWConfig():
            return AdamW(groups, lr=lr, fused=True, **options)
        case LAMBConfig():
            try:
                from service.training.lamb import LAMB
            except ImportError as error:
                raise ConfigurationError(
                    "optimizer.kind lamb needs timm 1.0.31 or newer: pip install 'service[lamb]'"
                ) from error
            return LAMB(groups, lr=lr, **options)


def _match_momentum(optimizer: SGD) -> None:
    """Gives every parameter without a momentum one of zeros, or takes it where there is none.

    Left to itself the fused kernel allocates the momentum in its first step without filling it, and
    keeps that garbage if the step is skipped. From zeros the first step gives the gradient itself,
    as torch's own first step does, since nothing is dampened.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if group["momentum"] == 0:
                optimizer.state.pop(parameter, None)
            elif "momentum_buffer" not in optimizer.state[parameter]:
                optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


def _refuse_other_parameters(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Compares the kind and the parameters' names, where torch would only count parameters."""
    for own, saved in zip(optimizer.param_groups, state["param_groups"], strict=True):
        if own.keys() & _TELLING != saved.keys() & _TELLING:
            raise ValueError(
                "optimizer.kind: the optimiser state is of another kind; choose the one it had"
            )
        if own["param_names"] != saved["param_names"]:
            different = sorted(set(own["param_names"]) ^ set(saved["param_names"]))
            raise ValueError(f"the optimiser state is of another network: {', '.join(different)}")


def _match_memory_order(optimizer: Optimizer) -> None:
    """Replaces loaded state by copies in the memory order of its parameters.

    The fused kernels for the CPU walk parameter, gradient and state in memory order and compare no
    strides: a momentum saved in another order would quietly meet the wrong weights. Copies, because
    torch goes on using the tensors it was given.
    """
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            if isinstance(value, Tensor):
                like = parameter if value.shape == parameter.shape else value
                values[name] = torch.empty_like(like, dtype=value.dtype).copy_(value)


def _classified(model: nn.Module) -> Iterator[tuple[str, nn.Parameter, bool]]:
    """Yields the full name of each trained parameter, the parameter, and whether it decays."""
    seen: set[nn.Parameter] = set()
    for path, module in model.named_modules():
        for name, parameter in module.named_parameters(path, recurse=False):
            if parameter.requires_grad and parameter not in seen:
                seen.add(parameter)
                yield name, parameter, parameter.ndim > 1 and not isinstance(module, _NORMALISATION)
