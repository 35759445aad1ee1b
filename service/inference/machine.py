"""What this machine offers a process that uses a trained network."""

import os

import torch

from service.config.run import RunConfig


def best_device() -> torch.device:
    """Returns the first GPU, or the CPU where there is none."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def cores() -> int:
    """Returns how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def loading_processes(config: RunConfig, device: torch.device) -> int:
    """Returns how many processes decode pictures; auto means the same as in training.

    Args:
        config: A configuration whose `data` has the field `loading_processes`.
        device: Where the network is; on a CPU it needs the cores itself.
    """
    configured: int | str = config.model_dump(include={"data"})["data"]["loading_processes"]
    if isinstance(configured, int):
        return configured
    spare = cores() - 1
    return spare if device.type == "cuda" else min(spare, cores() // 4)
