"""Sweeps whose trials are written down rather than run."""

from collections.abc import Callable, Sequence

import pytest

from service.search.trials import Change, Point, Result, Status, Trial

MakeTrial = Callable[..., Trial]


def _make_trial(
    number: int,
    point: Point,
    values: Sequence[float] = (),
    status: Status = "finished",
    start: float = 0.0,
    changes: tuple[Change, ...] = (),
    reason: str | None = None,
) -> Trial:
    """A trial with an evaluation after each epoch, each of which takes a minute."""
    results = tuple(
        Result(float(epoch), float(value), start + 60.0 * epoch, 60.0 * epoch)
        for epoch, value in enumerate(values, 1)
    )
    return Trial(number, point, status, results, changes, reason)


@pytest.fixture
def make_trial() -> MakeTrial:
    return _make_trial
