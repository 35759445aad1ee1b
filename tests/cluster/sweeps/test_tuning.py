"""How many trials Ray places at once: each takes a share of the head node."""

import pytest

from service.cluster.sweeps.tuning import head_share

# Ray counts resources in ten-thousandths.
UNIT = 10_000


def units(concurrent: int) -> int:
    share = round(head_share(concurrent) * UNIT)
    assert share / UNIT == head_share(concurrent)
    return share


@pytest.mark.parametrize("concurrent", range(1, 26))
def test_exactly_so_many_trials_fit(concurrent: int) -> None:
    """Beside each of them a run of Ray Train, which takes a thousandth of the node."""
    share, run = units(concurrent), UNIT // 1000
    assert concurrent * (share + run) <= UNIT
    assert (concurrent + 1) * share > UNIT


@pytest.mark.parametrize("concurrent", range(26, 101))
def test_of_many_trials_none_waits(concurrent: int) -> None:
    share, run = units(concurrent), UNIT // 1000
    assert share > 0
    assert concurrent * (share + run) <= UNIT
