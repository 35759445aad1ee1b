"""How much of what a device can compute a training step uses."""

import time
from dataclasses import dataclass
from statistics import median

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

# Dense operations a second in bf16, from NVIDIA's data sheets. The first name that fits counts.
_DATA_SHEETS = {
    "B200": 2250e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "A10": 125e12,
}


@dataclass(frozen=True)
class Peak:
    """The most operations a second that a device does in bf16."""

    operations: float
    """A multiplication with an addition counts as two."""
    source: str
    """Where that is from."""


def operations_of_step(network: nn.Module, side: int) -> int:
    """Returns the operations of convolutions and linear layers for one picture, in both passes.

    Args:
        network: A network on the meta device, where tensors have shapes and no values.
        side: Of the picture, pixels.
    """
    with FlopCounterMode(display=False) as counter:
        logits = network(torch.empty(2, 3, side, side, device="meta"))
        torch.autograd.backward(logits.sum())
    return int(counter.get_total_flops()) // 2


def peak_of(device: torch.device) -> Peak:
    """Returns what the data sheet promises, or what a product of large matrices reaches."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        for part, operations in _DATA_SHEETS.items():
            if part in name:
                return Peak(operations, "by its data sheet")
    side = 8192 if device.type == "cuda" else 1024
    return Peak(2 * side**3 / _seconds_of_product(side, device), "in a product of large matrices")


def _seconds_of_product(side: int, device: torch.device, rounds: int = 10) -> float:
    one, other = torch.randn(2, side, side, device=device, dtype=torch.bfloat16).unbind()
    seconds: list[float] = []
    for _ in range(rounds):
        wait_for(device)
        began = time.perf_counter()
        torch.mm(one, other)
        wait_for(device)
        seconds.append(time.perf_counter() - began)
    return median(seconds)


def wait_for(device: torch.device) -> None:
    """Returns once the device has done all it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
