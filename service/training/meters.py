"""Running sums on the device, read once a log interval."""

from collections.abc import Mapping

import torch
import torch.distributed as dist
from torch import Tensor


class Meters:
    """Sample-weighted means of the scalars of an interval, over all workers.

    Nothing here waits for the device until `read`.
    """

    def __init__(self, device: torch.device) -> None:
        self._zero = torch.zeros((), dtype=torch.float64, device=device)
        self._sums: dict[str, Tensor] = {}
        self._samples = self._zero

    def add(self, scalars: Mapping[str, Tensor], samples: int, kept: Tensor) -> None:
        """Adds the means of some samples.

        Args:
            scalars: Means over the samples, 0-dimensional, on the device.
            samples: How many samples of this worker.
            kept: Whether the step counts, a 0-dimensional bool tensor on the device.
        """
        for name, value in scalars.items():
            # A skipped step's loss may be NaN, and 0 · NaN is NaN: hence the selection.
            weighted = torch.where(kept, value.detach().double() * samples, self._zero)
            self._sums[name] = self._sums.get(name, self._zero) + weighted
        self._samples = self._samples + kept * samples

    def read(self) -> dict[str, float]:
        """Returns the means over all workers and starts anew. Waits for the device.

        Empty if every step was skipped. All workers call this together.
        """
        names = sorted(self._sums)
        row = torch.stack([self._samples, *(self._sums[name] for name in names)])
        if dist.is_initialized():
            dist.all_reduce(row)
        samples, *sums = row.tolist()
        self._sums = {}
        self._samples = self._zero
        return {name: total / samples for name, total in zip(names, sums, strict=True) if samples}
