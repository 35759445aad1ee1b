"""How the workers of a run meet in torch's process group.

Ray's own way imports torch in the driver and in the controller, and lets the workers wait for each
other before any of them begins. Here a worker imports what it needs first and then meets the rest.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import ray.train
import ray.train.collective
import ray.util
import torch
import torch.distributed as dist
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # exported at run time only


def device_of(gpus: float) -> torch.device:
    """Returns this worker's device.

    Args:
        gpus: GPUs of each worker.
    """
    if not gpus:
        return torch.device("cpu")
    import ray.train.torch

    found: torch.device = ray.train.torch.get_device()
    return found


@contextmanager
def process_group(device: torch.device, timeout: float) -> Iterator[None]:
    """Joins the group of all workers for as long as the context lasts.

    After an error nobody leaves in good order: the others may wait in a collective operation, and
    Ray ends all of them.

    Args:
        device: This worker's.
        timeout: Seconds that a collective operation may take.
    """
    context = ray.train.get_context()
    rank, world_size = context.get_world_rank(), context.get_world_size()
    backend = "gloo"
    if device.type == "cuda":
        backend = "nccl"
        torch.cuda.set_device(device)
        # An operation that is out of time ends its worker.
        os.environ.setdefault("TORCH_NCCL_ASYNC_ERROR_HANDLING", "1")
    patience = timedelta(seconds=timeout)
    dist.init_process_group(
        backend,
        store=_store(rank, patience),
        rank=rank,
        world_size=world_size,
        timeout=patience,
    )
    yield
    dist.destroy_process_group()


def _store(rank: int, patience: timedelta) -> TCPStore:
    """Returns the store in which the workers find each other; rank 0 holds it."""
    if rank == 0:
        host = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]  # ray's
        # The system chooses the port, so none can be taken in between.
        store = TCPStore(host, 0, is_master=True, timeout=patience, wait_for_workers=False)
        ray.train.collective.broadcast_from_rank_zero((host, store.port))
        return store
    host, port = ray.train.collective.broadcast_from_rank_zero(None)
    return TCPStore(host, port, is_master=False, timeout=patience)
