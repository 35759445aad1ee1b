"""Addresses people open in a browser."""

import json
import shlex
from urllib.parse import parse_qs, urlsplit

from service.tracking.links import compare_url, run_url, ui_command


def test_a_run_opens_in_the_view_for_training() -> None:
    assert (
        run_url("https://someone:secret@mlflow.example/base/", "7", "abc")
        == "https://mlflow.example/base/#/experiments/7/runs/abc?workflowType=machine_learning"
    )


def test_runs_are_compared_by_the_lists_mlflow_reads() -> None:
    address = compare_url("http://mlflow:5000", ["a", "b"], ["7"])
    path, _, query = urlsplit(address).fragment.partition("?")
    fields = parse_qs(query)
    assert path == "/compare-runs"
    assert json.loads(fields["runs"][0]) == ["a", "b"]
    assert json.loads(fields["experiments"][0]) == ["7"]
    assert " " not in address


def test_a_database_needs_a_command_first() -> None:
    uri = "sqlite:////data/my runs/mlflow.db"
    words = shlex.split(ui_command(uri), comments=True)
    assert words == ["mlflow", "ui", "--backend-store-uri", uri]
    address = "http://127.0.0.1:5000"
    assert ui_command(uri).endswith(address)
    assert run_url(uri, "1", "abc").startswith(f"{address}/#/experiments/1/runs/abc?")
    assert ui_command("http://mlflow:5000/") == "http://mlflow:5000"
