"""DDP never waits for a branch whose gate is closed, and gates differ between workers."""

import os
import socket
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
from torch.nn.parallel import DistributedDataParallel

from service.config.model import ShakeResNetConfig
from service.config.regularizer import (
    DropBlockConfig,
    RandomDropConfig,
    RegularizerConfig,
    ShakeDropConfig,
    ShakeShakeConfig,
)
from service.models import build_network

# P_L = 0: the last block's gate is always closed, and those before it often.
REGULARIZERS: tuple[RegularizerConfig, ...] = (
    ShakeDropConfig(p_l=0.0, gate="sample"),
    RandomDropConfig(p_l=0.0),
    ShakeShakeConfig(),
    DropBlockConfig(drop_prob=1.0, block_size=2),
)


def _train(rank: int, port: int, folder: Path) -> None:
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=2)
    for index, regularizer in enumerate(REGULARIZERS):
        torch.manual_seed(0)
        config = ShakeResNetConfig(depth=8, width=4, regularizer=regularizer)
        network = DistributedDataParallel(build_network(config, classes=3))
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        for step in range(3):
            torch.manual_seed(10 * step + rank)
            optimizer.zero_grad(set_to_none=True)
            network(torch.randn(2, 3, 16, 16)).square().mean().backward()
            assert all(p.grad is not None for p in network.parameters())
            optimizer.step()
        weights = torch.cat([p.detach().flatten() for p in network.parameters()])
        torch.save(weights, folder / f"{index}-{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    multiprocessing.spawn(_train, (port, folder), nprocs=2)
    return folder


@pytest.mark.parametrize("index", range(len(REGULARIZERS)), ids=[r.kind for r in REGULARIZERS])
def test_closed_branches_do_not_stop_ddp(trained: Path, index: int) -> None:
    one, other = (torch.load(trained / f"{index}-{r}.pt", weights_only=True) for r in range(2))
    assert torch.equal(one, other)
    assert one.isfinite().all()
