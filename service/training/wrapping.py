"""From a network to what a step runs: memory order, statistics, DDP, compilation."""

from contextlib import AbstractContextManager, nullcontext

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import bf16_compress_hook
from torch.nn.parallel import DistributedDataParallel

from service.config.errors import ConfigurationError
from service.config.training import TrainingConfig

_DTYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def prepare(model: nn.Module, config: TrainingConfig) -> nn.Module:
    """Changes a network as the configuration asks, before its weights are loaded or copied.

    Args:
        model: The network on its device.
        config: Memory order and batch normalisation.
    """
    if config.channels_last:
        model.to(memory_format=torch.channels_last)
    if config.sync_batch_norm and dist.is_initialized():
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]  # torch's
        return converted
    return model


def wrap(model: nn.Module, config: TrainingConfig) -> nn.Module:
    """Returns what the training step calls; it shares its parameters with `model`."""
    wrapped = model
    # A worker alone has nobody to share gradients with, and DDP would copy them all the same.
    if dist.is_initialized() and dist.get_world_size() > 1:
        device = next(model.parameters()).device
        wrapped = parallel = DistributedDataParallel(
            model,
            device_ids=[device] if device.type == "cuda" else None,
            gradient_as_bucket_view=True,
            # DDP reorders its buckets after the first step unless it looks for unused parameters.
            # A resumed run would then reduce that step in another order, with other bits.
            find_unused_parameters=config.deterministic,
            # A static graph would not hold: torch fails where the first backward pass of all sums
            # without the other workers, as it does with several micro-batches.
        )
        # Each forward pass would otherwise wait for rank 0's buffers. Training reads none of them;
        # evaluation takes rank 0's (`broadcast_buffers`), and checkpoints hold no others.
        parallel.broadcast_buffers = False
        if config.gradient_compression == "bf16":
            parallel.register_comm_hook(None, bf16_compress_hook)
    if config.compile:
        return torch.compile(wrapped)  # type: ignore[return-value]  # a module in, a module out
    return wrapped


def autocast(device: torch.device, config: TrainingConfig) -> AbstractContextManager[object]:
    """Returns the context in which forward passes run.

    Raises:
        ConfigurationError: The precision is still `auto`; see `service.training.precision`.
    """
    if config.precision == "auto":
        raise ConfigurationError(
            "training.precision: auto is decided at the start of a run; name fp32, bf16 or fp16"
        )
    dtype = _DTYPES[config.precision]
    return torch.autocast(device.type, dtype) if dtype else nullcontext()


def reduction(model: nn.Module, reduce: bool) -> AbstractContextManager[object]:
    """Returns a context in which a backward pass sums gradients over workers, or leaves them."""
    inner = getattr(model, "_orig_mod", model)
    if isinstance(inner, DistributedDataParallel) and not reduce:
        return inner.no_sync()
    return nullcontext()


def broadcast_buffers(model: nn.Module) -> None:
    """Gives every worker rank 0's buffers (BN statistics), so that all evaluate the same network.

    Training does not change by it: it reads no running statistics, and rank 0 keeps its own.
    """
    if dist.is_initialized():
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)
