"""Exact evaluation over all workers: every picture once, and the count is checked."""

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn import functional as F

from service.classification.checking import FIGURES


class Tally:
    """Running counts of right answers on the device."""

    def __init__(self, device: torch.device) -> None:
        # Loss, top-1, top-5, pictures. float64 counts exactly up to 2^53.
        self._row = torch.zeros(4, dtype=torch.float64, device=device)

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Adds a batch.

        Args:
            logits: (n, C).
            labels: int64 (n,).
        """
        logits = logits.float()
        loss = F.cross_entropy(logits, labels, reduction="sum")
        ranked = logits.topk(min(5, logits.shape[1]), dim=1).indices
        right = ranked == labels[:, None]
        counts = (loss, right[:, 0].sum(), right.sum(), torch.full_like(loss, len(labels)))
        self._row += torch.stack([count.double() for count in counts])

    def figures(self, pictures: int) -> dict[str, float]:
        """Returns loss, top-1 and top-5 (percent) over all workers; they call it together.

        Args:
            pictures: Pictures that all workers together should have added.

        Raises:
            RuntimeError: Not every picture was counted exactly once.
        """
        if dist.is_initialized():
            dist.all_reduce(self._row)
        loss, top1, top5, counted = self._row.tolist()
        if counted != pictures:
            raise RuntimeError(
                f"evaluated {counted:.0f} pictures of {pictures}: the workers see different data"
            )
        values = (100 * top1 / pictures, 100 * top5 / pictures, loss / pictures)
        return dict(zip(FIGURES, values, strict=True))
