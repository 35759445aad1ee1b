from collections.abc import Callable

import pytest

from service.search.report.progress import best_so_far, epochs_spent, evaluations
from service.search.trials import Change, Result, Trial

MakeTrial = Callable[..., Trial]


def results(*epochs: float) -> tuple[Result, ...]:
    return tuple(Result(e, 0.0, 10.0 * i, 10.0 * i) for i, e in enumerate(epochs, 1))


def test_epochs_add_up_over_trials_in_the_order_of_time(make_trial: MakeTrial) -> None:
    first = make_trial(1, {}, [10, 20, 30])  # at 60, 120, 180 s
    second = make_trial(2, {}, [40, 5], start=45.0)  # at 105, 165 s
    course = evaluations([second, first])
    assert [e.at for e in course] == [60, 105, 120, 165, 180]
    assert [e.epochs for e in course] == [1, 2, 3, 4, 5]
    assert [e.value for e in course] == [10, 40, 20, 5, 30]
    assert best_so_far([e.value for e in course], "max") == [10, 40, 40, 40, 40]
    assert best_so_far([e.value for e in course], "min") == [10, 10, 10, 5, 5]


def test_epochs_of_failed_trials_were_spent_too(make_trial: MakeTrial) -> None:
    failed = make_trial(1, {}, [99, 99], "failed")
    course = evaluations([failed, make_trial(2, {}, [1], start=300.0)])
    assert [(e.epochs, e.failed) for e in course] == [(1, True), (2, True), (3, False)]


@pytest.mark.parametrize(
    ("epochs", "changes", "spent"),
    [
        ((1, 2, 4), (), [1, 1, 2]),
        ((0.5, 1.25), (), [0.5, 0.75]),
        ((1, 2, 3), (2,), [1, 1, 1]),  # taken over at the same epoch
        ((1, 2, 5, 6), (4,), [1, 1, 1, 1]),  # from a source that was ahead
        ((1, 2, 3, 2, 3), (1,), [1, 1, 1, 1, 1]),  # from one that was behind
        ((1, 2, 5, 4), (4, 3), [1, 1, 1, 1]),
        ((1, 2), (0, 2), [1, 1]),  # its start, and a change that no result followed yet
    ],
)
def test_a_takeover_spends_no_epochs_itself(
    epochs: tuple[float, ...], changes: tuple[float, ...], spent: list[float]
) -> None:
    made = tuple(Change(float(epoch), 9, {}) for epoch in changes)
    trial = Trial(1, {}, "finished", results(*epochs), made)
    assert epochs_spent(trial) == spent
