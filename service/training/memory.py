"""What to do when the device has too little memory."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from service.config.errors import RunError
from service.config.training import TrainingConfig
from service.training.worker import Worker

_CPU_ALLOCATOR = "DefaultCPUAllocator: can't allocate memory"


class OutOfMemoryError(RunError):
    """The device of a worker has too little memory for a micro-batch."""


@contextmanager
def out_of_memory_explained(config: TrainingConfig, worker: Worker) -> Iterator[None]:
    """Turns torch's report of exhausted memory into one line with what can be changed.

    Args:
        config: What sets the size of a micro-batch.
        worker: Whose memory it is.

    Raises:
        OutOfMemoryError: The device has too little memory.
    """
    try:
        yield
    except RuntimeError as error:
        # On a CPU torch raises a plain RuntimeError.
        if not isinstance(error, torch.OutOfMemoryError) and _CPU_ALLOCATOR not in str(error):
            raise
        raise OutOfMemoryError(_advice(config, worker, str(error))) from error


def _advice(config: TrainingConfig, worker: Worker, reason: str) -> str:
    pieces = worker.world_size * config.accumulation
    micro_batch = -(-config.batch_size // pieces)
    precision = ", set training.precision=bf16" if config.precision == "fp32" else ""
    return (
        f"out of memory on {worker.device} of worker {worker.rank} with {micro_batch} samples at a "
        f"time ({config.batch_size} a step on {worker.world_size} workers, accumulation "
        f"{config.accumulation}): raise training.accumulation to {2 * config.accumulation}, which "
        "changes neither the batch nor the learning rate; or lower training.batch_size, the "
        f"pictures' size or the network's{precision} ({' '.join(reason.split())[:200]})"
    )
