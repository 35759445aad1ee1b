"""What the pictures say and where, read from the figures before they are written."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest

from service.config.sweep import ChoiceConfig, Distribution, LogUniformConfig, UniformConfig
from service.search.report.canvas import data_limits, grid_shape
from service.search.report.colours import colour_range
from service.search.report.comparison import compare
from service.search.report.description import SweepDescription
from service.search.report.front import draw_front
from service.search.report.parallel_coordinates import draw_parallel_coordinates, heights
from service.search.report.progress import draw_progress
from service.search.report.response import draw_response
from service.search.report.scales import scale_of
from service.search.report.schedules import draw_schedules
from service.search.trials import Change, Trial

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

MakeTrial = Callable[..., Trial]
SPACE: dict[str, Distribution] = {
    "p_l": UniformConfig(low=0, high=1),
    "gate": ChoiceConfig(values=("batch", "sample")),
}
SWEEP = SweepDescription("P_L and gate", "val/top1", "max", SPACE, {"p_l": "P_L"}, 2, 9)


def uneven(make_trial: MakeTrial) -> list[Trial]:
    """Twelve trials of which most stop after an epoch, one after three, and one failed."""
    trials = [
        make_trial(i, {"p_l": 0.08 * i, "gate": "batch"}, [20 + 0.1 * i], "stopped")
        for i in range(1, 10)
    ]
    trials.append(make_trial(10, {"p_l": 0.9}, [21, 40, 70]))
    trials.append(make_trial(11, {"p_l": 0.95, "gate": "sample"}, [22, 41, 60], "stopped"))
    trials.append(make_trial(12, {"p_l": 0.1, "gate": "sample"}, [99], "failed"))
    return trials


def course(line: "Line2D") -> list[list[float]]:
    return [[float(x), float(y)] for x, y in np.asarray(line.get_xydata(), dtype=np.float64)]


def heights_of(line: "Line2D") -> list[float]:
    return [y for _, y in course(line)]


def legend(figure: "Figure") -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_fit_says_when_and_of_how_many(make_trial: MakeTrial) -> None:
    trials = uneven(make_trial)
    figure = draw_response(SWEEP, trials, compare(trials, "max"))
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert "parabola: after 1 epoch, reached by all 11" in titles
    assert "mean, 95 % interval: after 1 epoch, reached by all 10" in titles
    assert "its value after 1 epoch" in legend(figure)
    assert "best: trial 10, 70 %" in legend(figure)


def test_final_and_even_values_have_limits_of_their_own(make_trial: MakeTrial) -> None:
    trials = uneven(make_trial)
    figure = draw_response(SWEEP, trials, compare(trials, "max"))
    limits = {axes.get_ylabel(): axes.get_ylim() for axes in figure.axes}
    assert limits["best val/top1, %"] == pytest.approx(data_limits([20.1, 70]))
    assert limits["val/top1 after 1 epoch, %"] == pytest.approx(data_limits([20.1, 22]))


def test_without_early_stops_the_best_values_are_fitted(make_trial: MakeTrial) -> None:
    trials = [
        make_trial(i, {"p_l": 0.1 * i, "gate": "batch"}, [60 + i % 3, 70 + i % 3])
        for i in range(1, 9)
    ]
    figure = draw_response(SWEEP, trials, compare(trials, "max"))
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "parabola: 8 trials",
        "mean, 95 % interval: 8 trials",
    ]
    assert figure.axes[1].get_xticklabels()[0].get_text() == "batch\nn=8"


def test_limits_follow_the_dots_and_no_wide_band(make_trial: MakeTrial) -> None:
    # With one degree of freedom the band is some 40 times as high as the data.
    places, values = [0.0, 0.3, 0.6, 1.0], [70.0, 71.0, 70.5, 70.2]
    trials = [
        make_trial(i, {"p_l": x}, [v])
        for i, (x, v) in enumerate(zip(places, values, strict=True), 1)
    ]
    figure = draw_response(SWEEP, trials, compare(trials, "max"))
    assert figure.axes[0].get_ylim() == pytest.approx(data_limits(values))
    assert figure.axes[0].get_title(loc="left") == "parabola: 4 trials"
    assert figure.axes[1].get_title(loc="left") == "no fit: too few points"


def test_a_logarithmic_value_is_fitted_over_its_logarithm(make_trial: MakeTrial) -> None:
    sweep = SweepDescription("lr", "m", "max", {"lr": LogUniformConfig(low=1e-4, high=1)})
    trials = [
        make_trial(i, {"lr": 10.0**-k}, [5 - (k - 2.0) ** 2]) for i, k in enumerate((0, 1, 2, 3, 4))
    ]
    figure = draw_response(sweep, trials, compare(trials, "max"))
    for place, value in course(figure.axes[0].lines[0]):
        assert value == pytest.approx(5 - (place + 2) ** 2, abs=1e-9)


def test_more_than_twelve_values_are_cut_and_the_heading_says_so(make_trial: MakeTrial) -> None:
    space: dict[str, Distribution] = {f"v{i}": UniformConfig(low=0, high=1) for i in range(15)}
    sweep = SweepDescription("many", "m", "max", space)
    trials = [make_trial(1, dict.fromkeys(space, 0.5), [1])]
    figure = draw_response(sweep, trials, compare(trials, "max"))
    assert len(figure.axes) == 12
    assert "(the first 12 of 15)" in figure.get_suptitle()


def test_the_heading_counts_the_trials(make_trial: MakeTrial) -> None:
    heading = draw_parallel_coordinates(SWEEP, uneven(make_trial)).get_suptitle()
    assert heading.splitlines() == [
        "P_L and gate – best val/top1 and values of each trial",
        "12 trials: 1 finished, 10 stopped early, 1 failed (not shown); full length 9 epochs; "
        "2 workers each",
    ]


def test_each_trial_is_a_line_and_the_best_the_last_and_thickest(make_trial: MakeTrial) -> None:
    figure = draw_parallel_coordinates(SWEEP, uneven(make_trial))
    lines = [line for line in figure.axes[0].lines if len(course(line)) == 3]
    assert len(lines) == 11
    assert np.argmax([line.get_linewidth() for line in lines]) == 10
    assert heights_of(lines[-1]) == pytest.approx([0.9, -0.1, 1.0])  # no gate; best value
    assert {line.get_linestyle() for line in lines[:-1]} == {"--"}
    assert "–  not searched in this trial" in legend(figure)
    assert "–" in [text.get_text() for text in figure.axes[0].texts]


def test_lines_through_a_category_do_not_hide_each_other(make_trial: MakeTrial) -> None:
    trials = [make_trial(i, {"gate": "batch"}, [i]) for i in range(3)]
    trials += [make_trial(4, {"gate": "sample"}, [1]), make_trial(5, {}, [1])]
    found = heights(trials, "gate", scale_of("gate", SPACE["gate"], trials))
    # Bands around 1/4 and 3/4, 0.2 high, the first trial's line on top.
    assert found.tolist() == pytest.approx([0.35, 0.25, 0.15, 0.75, -0.1])


def test_one_bad_trial_leaves_colours_for_the_others() -> None:
    values = [1.0, *np.linspace(70, 72, 9)]
    # Quartiles 70.3125 and 71.4375: 1.125 apart.
    assert colour_range(values, True) == pytest.approx((70.3125 - 1.5 * 1.125, 72))
    assert colour_range(values, False) == (1, 72)  # there the low one is the best
    assert colour_range([1.0, 70, 71], True) == (1, 71)
    low, high = colour_range([5.0, 5.0], True)
    assert low < 5 < high


def test_the_best_value_is_drawn_over_time_and_epochs(make_trial: MakeTrial) -> None:
    trials = [make_trial(1, {}, [10, 30, 20]), make_trial(2, {}, [40], start=10_000)]
    figure = draw_progress(SWEEP, trials)
    time, epochs = figure.axes
    assert time.get_xlabel() == "hours since the sweep began"
    assert heights_of(time.lines[0]) == [10, 30, 30, 40]
    assert [x for x, _ in course(epochs.lines[0])] == [1, 2, 3, 4]
    short = draw_progress(SWEEP, trials[:1])
    assert short.axes[0].get_xlabel() == "minutes since the sweep began"


def test_the_front_carries_the_numbers_of_its_trials(make_trial: MakeTrial) -> None:
    trials = [make_trial(1, {}, [10, 70]), make_trial(2, {}, [50]), make_trial(3, {}, [40, 60])]
    axes = draw_front(SWEEP, trials).axes[0]
    assert {text.get_text() for text in axes.texts} == {"1", "2"}
    assert course(axes.lines[0]) == [[1, 50], [2, 70]]


def test_the_best_trials_line_follows_its_weights(make_trial: MakeTrial) -> None:
    trials = [
        make_trial(1, {"p_l": 0.3, "gate": "batch"}, [10, 20, 30, 31], "failed"),
        make_trial(
            2, {"p_l": 0.6, "gate": "batch"}, [5, 6, 40, 50], changes=(Change(2, 1, {"p_l": 0.6}),)
        ),
        make_trial(3, {"p_l": 0.9, "gate": "batch"}, [5, 6, 7, 8]),
    ]
    figure = draw_schedules(SWEEP, trials)
    metric, value = figure.axes  # a gate is no number
    assert heights_of(metric.lines[-1]) == [10, 20, 40, 50]
    assert course(value.lines[-1]) == [[0, 0.3], [2, 0.3], [2, 0.6], [4, 0.6]]
    assert "values before a trial's first change are not known" in legend(figure)


@pytest.mark.parametrize(
    ("panels", "shape"), [(1, (1, 1)), (3, (1, 3)), (4, (2, 2)), (7, (3, 3)), (12, (3, 4))]
)
def test_panels_fill_rows(panels: int, shape: tuple[int, int]) -> None:
    assert grid_shape(panels) == shape
