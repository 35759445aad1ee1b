"""Workers and their shares of what a cluster has."""

import pytest

from service.cluster.resources import Node, Plan, plan_workers
from service.config.errors import ConfigurationError
from service.config.training import ClusterConfig

LAPTOP = Node(cpus=2, gpus=0)
GPU_NODE = Node(cpus=16, gpus=4)


@pytest.mark.parametrize(
    ("config", "nodes", "expected"),
    [
        ({}, [LAPTOP], Plan(2, 1, 0, 1)),
        ({}, [Node(1, 0)], Plan(1, 1, 0, 1)),
        ({}, [Node(64, 0)], Plan(2, 32, 0, 1)),
        ({}, [GPU_NODE, GPU_NODE], Plan(8, 4, 1, 2)),
        # A head node without GPUs lends nothing to workers that need one.
        ({}, [Node(8, 0), GPU_NODE], Plan(4, 4, 1, 2)),
        ({"num_workers": 2}, [GPU_NODE], Plan(2, 8, 1, 1)),
        ({"num_workers": 1}, [LAPTOP], Plan(1, 2, 0, 1)),
        ({"gpus_per_worker": 0}, [GPU_NODE], Plan(2, 8, 0, 1)),
        ({"gpus_per_worker": 0.5}, [Node(8, 1)], Plan(2, 4, 0.5, 1)),
        ({"cpus_per_worker": 3, "num_workers": 4}, [GPU_NODE], Plan(4, 3, 1, 1)),
        # Shares are as even as the nodes allow.
        ({"num_workers": 3}, [Node(4, 0), Node(4, 0)], Plan(3, 2, 0, 2)),
    ],
)
def test_auto_takes_what_the_cluster_has(
    config: dict[str, object], nodes: list[Node], expected: Plan
) -> None:
    assert plan_workers(ClusterConfig(**config), nodes) == expected


@pytest.mark.parametrize(
    ("config", "nodes", "message"),
    [
        ({"num_workers": 3}, [LAPTOP], r"3 workers of 1 CPU each .* has 2 CPU and 0 GPU on 1 node"),
        ({"num_workers": 5}, [GPU_NODE], r"5 workers of .* and 1 GPU .* room for 4"),
        ({"gpus_per_worker": 1}, [LAPTOP], r"the cluster has 2 CPU and 0 GPU"),
        ({"cpus_per_worker": 4, "num_workers": 1}, [LAPTOP], r"1 workers of 4 CPU"),
        ({}, [], r"the cluster has 0 CPU and 0 GPU on 0 nodes"),
    ],
)
def test_too_little_is_refused_with_what_there_is(
    config: dict[str, object], nodes: list[Node], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=rf"^cluster\.num_workers: {message}|{message}"):
        plan_workers(ClusterConfig(**config), nodes)
