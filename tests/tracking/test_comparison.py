"""Comparisons of methods over seeds."""

from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from service.config.errors import ConfigurationError
from service.tracking.comparison import FinishedRun, finished_runs, label, methods, shared
from service.tracking.comparison_report import draw, markdown


def _run(value: float, expected: float | None = None, **params: str) -> FinishedRun:
    return FinishedRun({"model": "wrn", "epochs": "4", **params}, value, expected)


PLAIN = [_run(90.0, 95.0, regularizer="none", seed=s) for s in ("0", "1")]
SHAKEN = [
    _run(v, regularizer="shakedrop", P_L="0.5", seed=s)
    for v, s in ((91.0, "0"), (93.0, "1"), (92.0, "2"))
]
WEAK = [_run(89.0, regularizer="shakedrop", P_L="0.9", seed="0")]


def test_runs_that_differ_in_the_seed_alone_are_one_method() -> None:
    found = methods([*PLAIN, *WEAK, *SHAKEN])
    assert [method.mean for method in found] == [8.0, 10.0, 11.0]
    shaken, plain, weak = found
    assert shaken.deviation == pytest.approx(1.0)
    assert plain.deviation == 0
    assert weak.deviation is None
    assert plain.published == 5.0
    assert plain.difference == 5.0
    assert shaken.published is None


def test_a_label_names_what_differs() -> None:
    found = methods([*PLAIN, *WEAK, *SHAKEN])
    labels = [label(method, found) for method in found]
    assert labels == ["shakedrop P_L 0.5", "none", "shakedrop P_L 0.9"]
    # One ShakeDrop alone needs no strengths to be told apart.
    found = methods([*PLAIN, *WEAK])
    assert [label(method, found) for method in found] == ["none", "shakedrop"]


def test_what_is_not_the_regularisers_is_named_where_it_differs() -> None:
    mixed = [_run(91.0, regularizer="none", mixup="1.0", seed="0")]
    found = methods([*PLAIN, *WEAK, *mixed])
    labels = [label(method, found) for method in found]
    assert labels == ["none mixup 1.0", "none", "shakedrop"]
    assert shared(found) == "epochs 4, model wrn"


def test_the_table_reads_as_one_pastes_it() -> None:
    assert markdown(methods([*PLAIN, *WEAK, *SHAKEN])).splitlines() == [
        "| method | error, % | published, % | difference | runs |",
        "|---|---|---|---|---|",
        "| shakedrop P_L 0.5 | 8.00 ± 1.00 | – | – | 3 |",
        "| none | 10.00 ± 0.00 | 5.00 | +5.00 | 2 |",
        "| shakedrop P_L 0.9 | 11.00 | – | – | 1 |",
        "",
        "All methods: epochs 4, model wrn.",
    ]


def test_the_picture_is_a_png(tmp_path: Path) -> None:
    file = tmp_path / "comparison.png"
    draw(methods([*PLAIN, *WEAK]), file, "title")
    assert file.read_bytes().startswith(b"\x89PNG")
    assert list(tmp_path.iterdir()) == [file]


def test_finished_runs_are_read_from_mlflow(tmp_path: Path) -> None:
    client = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.create_experiment("cifar", (tmp_path / "artifacts").as_uri())
    for value, status in ((90.5, "FINISHED"), (50.0, "FAILED"), (None, "FINISHED")):
        run = client.create_run(experiment, tags={"expected": "95.25"})
        client.log_param(run.info.run_id, "regularizer", "none")
        if value is not None:
            client.log_metric(run.info.run_id, "val/top1", value - 1, step=1)
            client.log_metric(run.info.run_id, "val/top1", value, step=2)
        client.set_terminated(run.info.run_id, status)
    found = finished_runs(client, "cifar", "val/top1")
    assert found == [FinishedRun({"regularizer": "none"}, 90.5, 95.25)]
    with pytest.raises(
        ConfigurationError, match=r"no experiment 'other'; there are: Default, cifar"
    ):
        finished_runs(client, "other", "val/top1")
    with pytest.raises(ConfigurationError, match="no finished run with the metric val/top9"):
        finished_runs(client, "cifar", "val/top9")
