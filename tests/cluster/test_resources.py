"""Workers and their shares of what a cluster has."""

from typing import Literal

import pytest

from service.cluster.resources import (
    Node,
    Plan,
    TooLittleError,
    TrialPlan,
    plan_trials,
    plan_workers,
)
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
        # A share lies on one GPU: two of 0.4 on each, not five on both.
        ({"gpus_per_worker": 0.4}, [Node(8, 2)], Plan(4, 2, 0.4, 1)),
        ({"gpus_per_worker": 0.1}, [Node(40, 2)], Plan(20, 2, 0.1, 1)),
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


@pytest.mark.parametrize(
    ("config", "nodes", "expected"),
    [
        ({"num_workers": 2, "min_workers": 1}, [LAPTOP], Plan(2, 1, 0, 1, 1)),
        # The second node is not there yet.
        ({"num_workers": 2, "min_workers": 1}, [Node(1, 0)], Plan(2, 1, 0, 1, 1)),
        ({"num_workers": 8, "min_workers": 2}, [GPU_NODE], Plan(8, 4, 1, 1, 2)),
        ({"num_workers": 8, "min_workers": 2}, [GPU_NODE, GPU_NODE], Plan(8, 4, 1, 2, 2)),
        ({"min_workers": 4}, [GPU_NODE, GPU_NODE], Plan(8, 4, 1, 2, 4)),
        ({"num_workers": 3, "min_workers": 3}, [Node(4, 0)], Plan(3, 1, 0, 1, 3)),
    ],
)
def test_an_elastic_run_may_begin_with_fewer_workers(
    config: dict[str, object], nodes: list[Node], expected: Plan
) -> None:
    plan = plan_workers(ClusterConfig(**config), nodes)
    assert plan == expected
    assert list(plan.sizes) == list(range(expected.min_workers or 0, expected.num_workers + 1))


@pytest.mark.parametrize(
    ("config", "nodes", "message"),
    [
        (
            {"num_workers": 4, "min_workers": 3},
            [LAPTOP],
            "cluster.min_workers: 3 workers of 1 CPU each do not fit; the cluster has 2 CPU and 0 "
            "GPU on 1 node, room for 2; lower cluster.min_workers or what each worker gets",
        ),
        (
            {"min_workers": 3},
            [Node(8, 0)],
            "cluster.min_workers: 3 exceeds the 2 workers that cluster.num_workers=auto makes "
            "here; set cluster.num_workers too",
        ),
    ],
)
def test_too_little_for_the_fewest_workers_is_refused(
    config: dict[str, object], nodes: list[Node], message: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        plan_workers(ClusterConfig(**config), nodes)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("config", "workers", "bundle"),
    [
        ({"num_workers": 4, "gpus_per_worker": 1}, 4, {"CPU": 1, "GPU": 1}),
        (
            {"num_workers": 4, "gpus_per_worker": 0.5, "cpus_per_worker": 3},
            4,
            {"CPU": 3, "GPU": 0.5},
        ),
        # The others may come while it trains.
        ({"num_workers": 8, "min_workers": 2, "gpus_per_worker": 1}, 2, {"CPU": 1, "GPU": 1}),
        # The first node says how many workers auto makes.
        ({"gpus_per_worker": 1}, 1, {"CPU": 1, "GPU": 1}),
        ({}, 1, {"CPU": 1}),
    ],
)
def test_what_is_missing_is_told_to_who_asks_for_nodes(
    config: dict[str, object], workers: int, bundle: dict[str, float]
) -> None:
    with pytest.raises(TooLittleError) as caught:
        plan_workers(ClusterConfig(**config), [Node(cpus=0, gpus=0)])
    assert (caught.value.workers, caught.value.bundle) == (workers, bundle)
    assert caught.value.has == "0 CPU and 0 GPU on 1 node"


def test_trials_that_are_asked_for_at_once_need_room_together() -> None:
    config = ClusterConfig(num_workers=2, gpus_per_worker=1)
    with pytest.raises(TooLittleError) as caught:
        plan_trials(config, [GPU_NODE], 3, 9)
    assert (caught.value.workers, caught.value.bundle) == (6, {"CPU": 1, "GPU": 1})


def test_a_run_of_fixed_size_has_one_size() -> None:
    assert list(plan_workers(ClusterConfig(), [LAPTOP]).sizes) == [2]


def trials(workers: int, cpus: int, gpus: float, nodes: int, concurrent: int) -> TrialPlan:
    return TrialPlan(Plan(workers, cpus, gpus, nodes), concurrent)


@pytest.mark.parametrize(
    ("config", "nodes", "concurrent", "count", "expected"),
    [
        # As many trials of one worker as there are cores, or GPUs.
        ({}, [LAPTOP], "auto", 9, trials(1, 1, 0, 1, 2)),
        ({}, [GPU_NODE, GPU_NODE], "auto", 9, trials(1, 4, 1, 2, 8)),
        ({}, [Node(8, 0), GPU_NODE], "auto", 9, trials(1, 4, 1, 2, 4)),
        ({"gpus_per_worker": 0}, [Node(3, 4)], "auto", 9, trials(1, 1, 0, 1, 3)),
        # Fewer trials share what there is.
        ({}, [Node(8, 0)], "auto", 3, trials(1, 2, 0, 1, 3)),
        ({}, [GPU_NODE], "auto", 1, trials(1, 16, 1, 1, 1)),
        ({}, [Node(16, 0)], 2, 9, trials(1, 8, 0, 1, 2)),
        ({}, [Node(16, 0)], 2, 1, trials(1, 16, 0, 1, 1)),
        ({}, [LAPTOP], 9, 1, trials(1, 2, 0, 1, 1)),
        # Several workers of a trial count together.
        ({"num_workers": 2}, [GPU_NODE], "auto", 9, trials(2, 4, 1, 1, 2)),
        ({"num_workers": 3}, [GPU_NODE], "auto", 9, trials(3, 5, 1, 1, 1)),
        ({"num_workers": 4}, [Node(2, 0), Node(2, 0)], "auto", 9, trials(4, 1, 0, 2, 1)),
        ({"cpus_per_worker": 3}, [Node(8, 0), Node(8, 0)], "auto", 9, trials(1, 3, 0, 2, 4)),
        # Trials on one GPU together.
        ({"gpus_per_worker": 0.5}, [Node(8, 1)], "auto", 9, trials(1, 4, 0.5, 1, 2)),
        ({"gpus_per_worker": 0.25}, [Node(8, 1)], 3, 9, trials(1, 2, 0.25, 1, 3)),
        ({"gpus_per_worker": 0.4}, [Node(8, 2)], "auto", 9, trials(1, 2, 0.4, 1, 4)),
        (
            {"gpus_per_worker": 0.5, "num_workers": 1},
            [Node(1, 4)],
            "auto",
            9,
            trials(1, 1, 0.5, 1, 1),
        ),
    ],
)
def test_trials_share_the_cluster(
    config: dict[str, object],
    nodes: list[Node],
    concurrent: Literal["auto"] | int,
    count: int,
    expected: TrialPlan,
) -> None:
    assert plan_trials(ClusterConfig(**config), nodes, concurrent, count) == expected


@pytest.mark.parametrize("cpus", range(1, 9))
@pytest.mark.parametrize("gpus", [0, 1, 3])
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_what_is_planned_fits(cpus: int, gpus: int, workers: int) -> None:
    """On two unequal nodes, whatever is asked for: placed one by one, all workers find room."""
    nodes = [Node(cpus, gpus), Node(2 * cpus, gpus)]
    config = ClusterConfig(num_workers=workers)
    try:
        plan = plan_trials(config, nodes, "auto", 100)
    except ConfigurationError:
        needs = 2 * gpus if gpus else 3 * cpus
        assert min(needs, 3 * cpus) < workers
        return
    each = plan.each
    room = [
        min(node.cpus // each.cpus_per_worker, node.gpus if gpus else node.cpus) for node in nodes
    ]
    assert each.num_workers == workers
    assert each.gpus_per_worker == min(gpus, 1)
    assert workers * plan.concurrent <= sum(room) < workers * (plan.concurrent + 1) + workers


@pytest.mark.parametrize(
    ("config", "nodes", "concurrent", "message"),
    [
        (
            {},
            [LAPTOP],
            3,
            "sweep.concurrent_trials: 3 trials at the same time do not fit; the cluster has room "
            "for 2, of 1 worker each; leave it at auto, or lower it or what each worker gets",
        ),
        (
            {"num_workers": 2},
            [GPU_NODE],
            3,
            "sweep.concurrent_trials: 3 trials at the same time do not fit; the cluster has room "
            "for 2, of 2 workers each; leave it at auto, or lower it or what each worker gets",
        ),
        (
            {"num_workers": 0},
            [LAPTOP],
            "auto",
            "cluster.num_workers: a trial needs at least 1 worker; leave it at auto for 1",
        ),
        (
            {"num_workers": 2, "min_workers": 1},
            [GPU_NODE],
            "auto",
            "cluster.min_workers: the trials of a sweep keep their number of workers; leave it at "
            "null",
        ),
        (
            {"num_workers": 2, "gpus_per_worker": 0.5},
            [GPU_NODE],
            "auto",
            "cluster.gpus_per_worker: 0.5 of a GPU is for trials of one worker, because NCCL "
            "refuses two workers on one GPU; set cluster.num_workers=1 or "
            "cluster.gpus_per_worker=1",
        ),
        (
            {"gpus_per_worker": 1},
            [LAPTOP],
            "auto",
            "cluster.num_workers: 1 workers of 1 CPU and 1 GPU each do not fit; the cluster has "
            "2 CPU and 0 GPU on 1 node, room for 0; lower cluster.num_workers or what each worker "
            "gets",
        ),
    ],
)
def test_trials_that_do_not_fit_are_refused(
    config: dict[str, object],
    nodes: list[Node],
    concurrent: Literal["auto"] | int,
    message: str,
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        plan_trials(ClusterConfig(**config), nodes, concurrent, 9)
    assert str(caught.value) == message
