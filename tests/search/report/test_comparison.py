from collections.abc import Callable

from service.search.report.comparison import common_epoch, compare, value_at
from service.search.trials import Result, Trial

MakeTrial = Callable[..., Trial]


def test_without_early_stops_the_best_values_are_compared(make_trial: MakeTrial) -> None:
    trials = [make_trial(1, {}, [10, 30, 20]), make_trial(2, {}, [11, 12, 13])]
    found = compare(trials, "max")
    assert found.epoch is None
    assert found.values == {1: 30, 2: 13}
    assert compare(trials, "min").values == {1: 10, 2: 11}


def test_lengths_that_are_searched_are_no_early_stops(make_trial: MakeTrial) -> None:
    found = compare([make_trial(1, {}, [10, 30, 20]), make_trial(2, {}, [11])], "max")
    assert found.epoch is None
    assert found.values == {1: 30, 2: 11}


def test_after_early_stops_all_are_compared_where_the_shortest_ended(
    make_trial: MakeTrial,
) -> None:
    trials = [
        make_trial(1, {}, [10, 30, 20, 40]),
        make_trial(2, {}, [11, 12], "stopped"),
        make_trial(3, {}, [13, 12, 50], "running"),
        make_trial(4, {}, [99], "failed"),
        make_trial(5, {}, [], "running"),
    ]
    found = compare(trials, "max")
    assert found.epoch == 2
    assert found.values == {1: 30, 2: 12, 3: 12}  # what they had then, not their best


def test_trials_that_stopped_together_are_compared_by_their_best(make_trial: MakeTrial) -> None:
    trials = [make_trial(1, {}, [30, 20], "stopped"), make_trial(2, {}, [11, 12], "stopped")]
    assert compare(trials, "max").epoch is None


def test_evaluations_fall_on_whole_steps() -> None:
    # 391 steps an epoch for one batch size, 196 for the other.
    one = Trial(1, {}, "stopped", (Result(0.9987, 1.0, 1, 1),))
    other = Trial(2, {}, "finished", (Result(1.0, 2.0, 1, 1), Result(2.0, 3.0, 2, 2)))
    assert common_epoch([one, other]) == 0.9987
    assert compare([one, other], "max").values == {1: 1.0, 2: 2.0}


def test_a_trial_first_evaluated_later_is_left_out(make_trial: MakeTrial) -> None:
    late = Trial(2, {}, "finished", (Result(5.0, 3.0, 1, 1),))
    found = compare([make_trial(1, {}, [10], "stopped"), late], "max")
    assert found.values == {1: 10}
    assert value_at(late, 4.9) is None


def test_nothing_to_compare(make_trial: MakeTrial) -> None:
    assert compare([make_trial(1, {}, [3], "failed")], "max").values == {}
