"""Pictures from bytes to the numbers a network takes, a batch at a time on its device."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Normalization(nn.Module):
    """Computes (x/255 - mean) / std for each colour channel.

    The constants are buffers that move with the module and stay out of state dicts.

    Args:
        mean: Mean of each channel, of values in [0, 1].
        std: Standard deviation of each channel.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        deviation = torch.tensor(std, dtype=torch.float64).view(-1, 1, 1)
        shift = -torch.tensor(mean, dtype=torch.float64).view(-1, 1, 1) / deviation
        self.register_buffer("scale", (1 / (255 * deviation)).float(), persistent=False)
        self.register_buffer("shift", shift.float(), persistent=False)

    def forward(
        self,
        pictures: Tensor,
        dtype: torch.dtype = torch.float32,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> Tensor:
        """Normalises uint8 pictures (n, 3, h, w).

        Args:
            pictures: uint8 pictures, in any memory order.
            dtype: Type of the result; the arithmetic is in float32.
            memory_format: Memory order of the result.
        """
        values = pictures.to(torch.float32)
        if values.is_contiguous() or not values.is_contiguous(memory_format=torch.channels_last):
            values.mul_(self.scale).add_(self.shift)
        else:
            # By whole rows: loops over the three channels of a pixel are several times as slow.
            width = values.shape[3]
            scale, shift = (one.flatten().repeat(width) for one in (self.scale, self.shift))
            values.permute(0, 2, 3, 1).flatten(2).mul_(scale).add_(shift)
        return values.to(dtype).contiguous(memory_format=memory_format)
