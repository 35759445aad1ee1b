"""Randomness as a pure function of the position.

Every draw inside a step (ShakeDrop's gates, mixup's λ) comes from torch's default generators, which
are seeded anew for each micro-batch from (seed, step, its number in the step). So no random state
belongs to a checkpoint, a resumed run draws what an undisturbed one draws, and a micro-batch is
treated the same whichever worker computes it.
"""

import os

import numpy as np
import torch


def seed_micro_batch(seed: int, step: int, number: int) -> None:
    """Seeds torch's generators on every device for one micro-batch.

    Args:
        seed: The run's seed.
        step: Optimiser steps done before this one.
        number: The micro-batch's number among those of the step, over all workers.
    """
    words = np.random.SeedSequence((seed, step, number)).generate_state(2, np.uint32)
    torch.manual_seed(int(words[0]) << 32 | int(words[1]))


def make_deterministic() -> None:
    """Makes torch choose algorithms that give the same bits each time, or raise if it has none."""
    # cuBLAS reads this when its first handle is made; without it torch refuses matrix products.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
