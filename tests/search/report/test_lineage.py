from collections.abc import Callable

from service.search.report.lineage import Stretch, lineage, stretches
from service.search.trials import Change, Point, Trial

MakeTrial = Callable[..., Trial]
A: Point
B: Point
C: Point
D: Point
A, B, C, D = {"p": 1.0}, {"p": 2.0}, {"p": 3.0}, {"p": 4.0}


def test_values_that_never_changed_held_all_along(make_trial: MakeTrial) -> None:
    trial = make_trial(3, A, [1, 2, 3])
    assert stretches(trial) == [Stretch(3, 0, 3, A)]
    assert lineage([trial], 3) == [Stretch(3, 0, 3, A)]


def test_values_before_the_first_change_are_unknown(make_trial: MakeTrial) -> None:
    trial = make_trial(3, C, range(8), changes=(Change(2, 1, B), Change(6, 2, C)))
    assert stretches(trial) == [
        Stretch(3, 0, 2, None),
        Stretch(3, 2, 6, B, 1),
        Stretch(3, 6, 8, C, 2),
    ]


def test_a_change_at_epoch_0_tells_what_a_trial_began_with(make_trial: MakeTrial) -> None:
    trial = make_trial(3, B, range(8), changes=(Change(0, 3, A), Change(2, 1, B)))
    assert stretches(trial) == [Stretch(3, 0, 2, A, 3), Stretch(3, 2, 8, B, 1)]


def test_the_line_goes_on_in_the_source_up_to_the_takeover(make_trial: MakeTrial) -> None:
    trials = [
        make_trial(1, A, range(9)),
        # 2 took 1's state at epoch 3, and was itself replaced at 6, after it had been a source.
        make_trial(2, D, range(9), changes=(Change(3, 1, B), Change(6, 1, D))),
        make_trial(3, C, range(9), changes=(Change(0, 3, D), Change(5, 2, C))),
    ]
    assert lineage(trials, 3) == [
        Stretch(1, 0, 3, A),
        Stretch(2, 3, 5, B, 1),
        Stretch(3, 5, 9, C, 2),
    ]


def test_two_trials_that_took_each_other_over(make_trial: MakeTrial) -> None:
    trials = [
        make_trial(1, C, range(6), changes=(Change(4, 2, C),)),
        make_trial(2, B, range(6), changes=(Change(2, 1, B),)),
    ]
    assert lineage(trials, 1) == [
        Stretch(1, 0, 2, None),
        Stretch(2, 2, 4, B, 1),
        Stretch(1, 4, 6, C, 2),
    ]


def test_a_takeover_without_a_result_since_does_not_count(make_trial: MakeTrial) -> None:
    trial = make_trial(2, B, range(4), changes=(Change(0, 2, A), Change(4, 1, B)))
    assert lineage([make_trial(1, C, range(4)), trial], 2) == [Stretch(2, 0, 4, A, 2)]


def test_the_line_begins_where_its_source_is_missing(make_trial: MakeTrial) -> None:
    trial = make_trial(2, B, range(6), changes=(Change(4, 7, B),))
    assert lineage([trial], 2) == [Stretch(2, 4, 6, B, 7)]
