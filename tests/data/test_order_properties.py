"""Whole runs of any shape, worker by worker: contract 4 of the design."""

import itertools
from collections import Counter
from typing import NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from service.data.detection.order import GroupedOrder
from service.data.order import SampleOrder, evaluation_share, worker_positions

properties = settings(deadline=None, database=None, derandomize=True, max_examples=60)


class Cluster(NamedTuple):
    """How a global batch is divided."""

    world_size: int
    accumulation: int


class Run(NamedTuple):
    """A training run: its order and its global batch."""

    order: SampleOrder
    batch_size: int

    def batches(self, cluster: Cluster, start: int, steps: int) -> list[list[int]]:
        """Returns the samples of each step from a position on, those of all workers together."""
        streams = [
            worker_positions(
                start=start,
                batch_size=self.batch_size,
                accumulation=cluster.accumulation,
                rank=rank,
                world_size=cluster.world_size,
            )
            for rank in range(cluster.world_size)
        ]
        found = []
        for _ in range(steps):
            parts = [
                part
                for stream in streams
                for part in itertools.islice(stream, cluster.accumulation)
            ]
            indices, _, _ = self.order.at(np.concatenate(parts))
            found.append(sorted(indices.tolist()))
        return found


clusters = st.builds(Cluster, st.integers(1, 6), st.integers(1, 4))


@st.composite
def runs(draw: st.DrawFn) -> tuple[Run, Cluster, Cluster]:
    """A run and two clusters that it fits on."""
    first, second = draw(clusters), draw(clusters)
    least = max(one.world_size * one.accumulation for one in (first, second))
    size, batch_size = draw(st.integers(1, 50)), draw(st.integers(least, least + 20))
    seed, repeats = draw(st.integers(0, 2**64)), draw(st.integers(1, 3))
    order = SampleOrder(size, seed, repeats)
    if draw(st.booleans()):
        groups = draw(st.lists(st.integers(0, 2), min_size=size, max_size=size))
        order = GroupedOrder(np.array(groups, np.int64), seed, batch_size)
    return Run(order, batch_size), first, second


@properties
@given(runs(), st.integers(0, 10**12), st.integers(1, 6))
def test_the_global_batches_are_the_same_on_any_cluster(
    case: tuple[Run, Cluster, Cluster], step: int, steps: int
) -> None:
    run, first, second = case
    start = step * run.batch_size
    assert run.batches(first, start, steps) == run.batches(second, start, steps)


@properties
@given(runs(), st.integers(0, 5), st.integers(1, 5))
def test_resumed_anywhere_on_another_cluster_a_run_is_the_tail_of_the_undisturbed_one(
    case: tuple[Run, Cluster, Cluster], done: int, left: int
) -> None:
    run, first, second = case
    whole = run.batches(first, 0, done + left)
    assert run.batches(second, done * run.batch_size, left) == whole[done:]


@properties
@given(runs(), st.integers(1, 3))
def test_in_whole_epochs_every_sample_comes_as_often_as_any(
    case: tuple[Run, Cluster, Cluster], epochs: int
) -> None:
    """Exactly once an epoch; the last batch may reach into the next one."""
    run, cluster, _ = case
    size, repeats = run.order.size, run.order.repeats
    steps = -(-epochs * size // run.batch_size)
    counts = Counter(itertools.chain(*run.batches(cluster, 0, steps)))
    assert counts.total() == steps * run.batch_size
    if repeats == 1:
        # One epoch more than is whole has begun at most so many times.
        begun = -(-steps * run.batch_size // size)
        assert set(counts) == set(range(size))
        assert min(counts.values()) >= epochs
        assert max(counts.values()) <= begun


@properties
@given(st.integers(0, 10**6), st.integers(1, 300))
def test_evaluation_shares_are_a_partition(size: int, world_size: int) -> None:
    shares = [evaluation_share(size, rank, world_size) for rank in range(world_size)]
    assert np.array_equal(np.concatenate(shares), np.arange(size))
    lengths = [len(share) for share in shares]
    assert max(lengths) - min(lengths) <= 1
