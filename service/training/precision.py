"""What `training.precision: auto` stands for: the fastest arithmetic of a machine.

Weights and optimiser stay fp32 with either. bf16 has the range of fp32, so that it needs no loss
scale, and the convolutions of bf16 are fast in the memory order channels_last only.
"""

from collections.abc import Mapping
from pathlib import Path

import pynvml

from service.config.errors import ConfigurationError
from service.config.training import TrainingConfig

_LEAST_CAPABILITY = (8, 0)
"""NVIDIA's Ampere; GPUs before it compute in bf16 what they were asked to, in fp32."""
_FLAGS = frozenset({"amx_bf16", "avx512_bf16"})
_PROCESSOR = Path("/proc/cpuinfo")


def multiplies_bf16(*, on_gpu: bool, processor: Path = _PROCESSOR) -> bool:
    """Tells whether this machine multiplies matrices of bf16 faster than those of fp32.

    Args:
        on_gpu: Ask its NVIDIA GPUs, all of them, instead of its processor.
        processor: Where Linux describes the processor; elsewhere the answer is no.
    """
    if on_gpu:
        return min(_capabilities(), default=(0, 0)) >= _LEAST_CAPABILITY
    if not processor.is_file():
        return False
    lines = processor.read_text(encoding="utf-8", errors="replace").splitlines()
    flags = (line.partition(":")[2].split() for line in lines if line.startswith("flags"))
    return not _FLAGS.isdisjoint(next(flags, []))


def decided(training: TrainingConfig, machines: Mapping[str, bool]) -> TrainingConfig:
    """Returns the configuration with a precision that all machines of a run compute with.

    Args:
        training: What is configured; without `auto` it is returned as it is.
        machines: `multiplies_bf16` of each machine, by its name.

    Raises:
        ConfigurationError: The machines differ, so that no choice is the fastest for all.
    """
    if training.precision != "auto":
        return training
    if len(set(machines.values())) > 1:
        without = ", ".join(name for name, found in machines.items() if not found)
        raise ConfigurationError(
            f"training.precision: auto would be bf16 on some machines and fp32 on {without}; give "
            "bf16 or fp32"
        )
    if not machines or not all(machines.values()):
        return training.model_copy(update={"precision": "fp32"})
    return training.model_copy(update={"precision": "bf16", "channels_last": True})


def _capabilities() -> list[tuple[int, int]]:
    """Returns the compute capability of each GPU of this machine, without taking hold of one."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        handles = map(pynvml.nvmlDeviceGetHandleByIndex, range(pynvml.nvmlDeviceGetCount()))
        return [pynvml.nvmlDeviceGetCudaComputeCapability(handle) for handle in handles]
    finally:
        pynvml.nvmlShutdown()
