from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from service.search.report.front import pareto_front
from service.search.trials import Mode, Result, Trial

MakeTrial = Callable[..., Trial]


def trial(number: int, value: float, seconds: float) -> Trial:
    return Trial(number, {}, "finished", (Result(1.0, value, seconds, seconds),))


def test_the_front_is_what_none_beats_in_both() -> None:
    trials = [
        trial(1, 70, 100),
        trial(2, 72, 200),
        trial(3, 71, 300),  # slower and worse than 2
        trial(4, 69, 50),
        trial(5, 70, 120),  # slower than 1, no better
        trial(6, 72, 200),  # as 2
    ]
    assert [t.number for t in pareto_front(trials, "max")] == [4, 1, 2, 6]
    assert [t.number for t in pareto_front(trials, "min")] == [4]


def test_failed_trials_and_those_without_a_value_are_not_on_it(make_trial: MakeTrial) -> None:
    trials = [make_trial(1, {}, [99], "failed"), make_trial(2, {}), make_trial(3, {}, [5, 4])]
    assert [t.number for t in pareto_front(trials, "max")] == [3]
    assert pareto_front(trials[:2], "max") == []


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12),
    st.sampled_from(["max", "min"]),
)
def test_each_other_trial_is_beaten_by_one_of_the_front(
    pairs: list[tuple[int, int]], mode: Mode
) -> None:
    trials = [trial(i, value, seconds) for i, (value, seconds) in enumerate(pairs, 1)]
    front = pareto_front(trials, mode)
    sign = 1 if mode == "max" else -1
    better = [(sign * (t.best(mode) or 0.0), -t.seconds) for t in front]
    numbers = {t.number for t in front}
    for other in trials:
        cost = (sign * (other.best(mode) or 0.0), -other.seconds)
        beaten = any(b != cost and b[0] >= cost[0] and b[1] >= cost[1] for b in better)
        assert beaten != (other.number in numbers)
