"""What this machine offers a process that uses a trained network."""

import os

import torch


def best_device() -> torch.device:
    """Returns the first GPU, or the CPU where there is none."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def cores() -> int:
    """Returns how many cores this process may use."""
    return len(os.sched_getaffinity(0))
