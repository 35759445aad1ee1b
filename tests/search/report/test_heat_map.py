from collections.abc import Callable

import pytest

from service.config.sweep import ChoiceConfig, Distribution, LogUniformConfig, UniformConfig
from service.search.report.comparison import Comparison, compare
from service.search.report.description import SweepDescription
from service.search.report.heat_map import Columns, cells, columns_of, draw_heat_map
from service.search.report.scales import scale_of
from service.search.trials import Trial

MakeTrial = Callable[..., Trial]


def columns(distribution: Distribution, values: list[float]) -> Columns:
    scale = scale_of("x", distribution, [])
    places = [place for v in values if (place := scale.coordinate(v)) is not None]
    return columns_of(scale, places)


def test_a_few_values_get_a_column_each() -> None:
    grid = UniformConfig(low=0.5, high=0.9, points=3)
    found = columns(grid, [0.9, 0.5, 0.7, 0.5000000000001])
    assert found.labels == ("0.5", "0.7", "0.9")
    assert [found.place(x) for x in (0.5, 0.5000000000001, 0.7, 0.9)] == [0, 0, 1, 2]


def test_many_values_get_five_columns_of_the_whole_range() -> None:
    found = columns(UniformConfig(low=-1, high=0), [-0.9, -0.55, -0.52])
    assert found.labels == (
        "-1 to -0.8",
        "-0.8 to -0.6",
        "-0.6 to -0.4",
        "-0.4 to -0.2",
        "-0.2 to 0",
    )
    assert [found.place(x) for x in (-1, -0.85, -0.79, -0.1, 0)] == [0, 0, 1, 4, 4]


def test_columns_of_a_logarithm_are_equally_wide_in_it() -> None:
    found = columns(LogUniformConfig(low=1e-5, high=1), [0.5, 0.1, 0.03])
    assert found.labels[0] == "1e-5 to 0.0001"
    assert found.labels[4] == "0.1 to 1"


def test_nine_values_are_too_many() -> None:
    values = tuple(float(i) for i in range(9))
    assert len(columns(ChoiceConfig(values=values[:8]), list(values[:8])).labels) == 8
    assert len(columns(ChoiceConfig(values=values), list(values)).labels) == 5


def test_cells_hold_the_values_of_their_trials() -> None:
    across = columns(ChoiceConfig(values=(1, 2)), [1, 2])
    up = columns(ChoiceConfig(values=(5, 6)), [5, 6])
    places = [(1.0, 5.0), (2.0, 6.0), (1.0, 5.0)]
    assert cells(across, up, places, [10, 20, 30]) == {(0, 0): [10, 30], (1, 1): [20]}


SPACE: dict[str, Distribution] = {
    "p": ChoiceConfig(values=(0.5, 0.9)),
    "a": ChoiceConfig(values=(-1, 0)),
}


def test_each_cell_says_its_mean_and_its_trials(make_trial: MakeTrial) -> None:
    sweep = SweepDescription("t", "val/top1", "max", SPACE)
    trials = [
        make_trial(1, {"p": 0.5, "a": -1}, [60, 70.0]),
        make_trial(2, {"p": 0.5, "a": -1}, [61], "stopped"),
        make_trial(3, {"p": 0.9, "a": 0}, [50.25], "stopped"),
        make_trial(4, {"p": 0.9, "a": -1}, [90], "failed"),
        make_trial(5, {"p": 0.9}, [80, 90]),  # a is not searched in it
    ]
    figure = draw_heat_map(sweep, trials, compare(trials, "max"), ("p", "a"))
    assert figure is not None
    axes = figure.axes[0]
    assert {text.get_text() for text in axes.texts} == {"60.50\nn = 2", "50.25\nn = 1"}
    assert sum(patch.get_hatch() is not None for patch in axes.patches) == 2
    assert "mean val/top1 after 1 epoch, %" in str(figure.axes[1].get_ylabel())


@pytest.mark.parametrize("values", [(None, -1), ("low", "high")])
def test_no_picture_without_numbers(make_trial: MakeTrial, values: tuple[object, ...]) -> None:
    space = {**SPACE, "a": ChoiceConfig.model_validate({"values": values})}
    sweep = SweepDescription("t", "m", "max", space)
    trials = [make_trial(1, {"p": 0.5, "a": values[0]}, [1])]
    assert draw_heat_map(sweep, trials, compare(trials, "max"), ("p", "a")) is None
    assert draw_heat_map(sweep, trials, Comparison({}, None), ("p", "a")) is None
