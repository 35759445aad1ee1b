"""Into what a step is divided while workers are missing."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.config.errors import ConfigurationError
from service.config.training import TrainingConfig
from service.data.order import worker_positions
from service.training.length import check_micro_batches, micro_batches


@settings(deadline=None, database=None)
@given(st.integers(1, 4), st.integers(1, 6), st.integers(0, 30), st.data())
def test_missing_workers_leave_the_batch_whole_and_no_micro_batch_larger(
    accumulation: int, workers: int, more: int, data: st.DataObject
) -> None:
    batch_size = accumulation * workers + workers + more
    present = data.draw(st.integers(1, workers))

    def step(workers: int, parts: int) -> list[list[int]]:
        division = {"start": 0, "batch_size": batch_size, "accumulation": parts}
        shares = [worker_positions(**division, rank=r, world_size=workers) for r in range(workers)]
        return [p.tolist() for share in shares for p in itertools.islice(share, parts)]

    whole = step(workers, accumulation)
    fewer = step(present, micro_batches(accumulation, workers, present))
    assert sorted(itertools.chain(*fewer)) == list(range(batch_size))
    assert max(map(len, fewer)) <= max(map(len, whole))
    if accumulation * workers % present == 0:
        assert sorted(fewer) == sorted(whole)


def test_every_number_of_workers_must_have_samples_for_its_micro_batches() -> None:
    # 5 workers take 5 micro-batches, 4 take 2 each, 3 take 2 each, 2 take 3 each.
    config = TrainingConfig(batch_size=7, accumulation=1)
    check_micro_batches(config, 5)
    check_micro_batches(config, 5, [2, 3])
    with pytest.raises(ConfigurationError) as caught:
        check_micro_batches(config, 5, range(2, 6))
    assert str(caught.value) == (
        "training.batch_size: 7 samples do not give each of 4 workers 2 micro-batches; raise it or "
        "lower training.accumulation"
    )
