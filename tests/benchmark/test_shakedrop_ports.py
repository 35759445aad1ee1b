"""The comparison with public ports of ShakeDrop."""

from argparse import Namespace

import torch

from service.benchmark.shakedrop_peer import PortedMerge
from service.benchmark.shakedrop_ports import measure


def test_additions_are_measured_at_both_levels_in_both_types() -> None:
    options = Namespace(rounds=1, depth=18, compiled_depth=0, batch=2, side=32)
    threads = torch.get_num_threads()
    records = [*measure(options)]
    assert [record.what.partition(", ")[2] for record in records] == [
        "level batch, eager, float32",
        "level image, eager, float32",
        "level batch, eager, bfloat16",
        "level image, eager, bfloat16",
    ]
    assert all(len(record.ours) == len(record.peers) == 20 for record in records)
    assert torch.get_num_threads() == threads


def test_the_port_adds_when_its_gate_is_open_and_draws_for_each_image_when_not() -> None:
    torch.manual_seed(0)
    branch, shortcut = torch.rand(2, 4, 3, 5, 5).unbind()
    branch.requires_grad_()
    opened = PortedMerge(1.0).train()([branch], shortcut)
    assert torch.equal(opened, branch + shortcut)
    closed = PortedMerge(0.0).train()([branch], shortcut)
    # α times the branch: one α in [-1, 1] for each image.
    alpha = (closed - shortcut) / branch
    assert (alpha.amax((1, 2, 3)) - alpha.amin((1, 2, 3))).max() < 1e-3
    assert alpha[:, 0, 0, 0].abs().max() <= 1
    assert alpha[:, 0, 0, 0].unique().numel() == 4
    closed.sum().backward()
    assert branch.grad is not None
    beta = branch.grad.flatten(1)
    assert torch.equal(beta.amax(1), beta.amin(1))
    assert beta.min() >= 0
    assert beta.max() <= 1
