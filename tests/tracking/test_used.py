"""A run's folder says what the run was made with."""

from dataclasses import replace
from pathlib import Path

import pytest

from service.tracking.request import RunRequest
from service.tracking.tracker import RunTracker
from service.tracking.used import USED, keep_used, read_used


def keep(folder: Path, request: RunRequest) -> None:
    keep_used(folder, request.config_digest, request.tags, request.datasets)


def test_each_change_is_a_line(tmp_path: Path, request_at: RunRequest) -> None:
    other = replace(request_at, tags={"mlflow.source.git.commit": "4567def"})
    for request in (request_at, request_at, other, other):
        keep(tmp_path, request)
    first, second = read_used(tmp_path)
    assert first.tags == request_at.tags
    assert first.config_digest == request_at.config_digest
    assert first.datasets == request_at.datasets
    assert second.tags == other.tags
    assert first.time <= second.time


def test_a_line_cut_off_costs_no_other(tmp_path: Path, request_at: RunRequest) -> None:
    keep(tmp_path, request_at)
    whole = (tmp_path / USED).read_bytes()
    (tmp_path / USED).write_bytes(whole + whole[:50])
    other = replace(request_at, tags={})
    keep(tmp_path, other)
    assert [used.tags for used in read_used(tmp_path)] == [request_at.tags, {}]


def test_no_credentials_are_kept(tmp_path: Path, request_at: RunRequest) -> None:
    split = replace(request_at.datasets[0], source="s3://user:geheim@host/data")
    keep(tmp_path, replace(request_at, datasets=(split,)))
    assert "geheim" not in (tmp_path / USED).read_text()


def test_it_is_kept_while_the_server_is_away(tmp_path: Path, request_at: RunRequest) -> None:
    RunTracker(tmp_path, request_at).close(deadline=0.1)
    (used,) = read_used(tmp_path)
    assert used.tags == request_at.tags


@pytest.mark.parametrize("line", ["{", "[]", "{}", '{"time": "x"}', '{"time": 1, "tags": 3}'])
def test_damaged_lines_are_left_out(tmp_path: Path, line: str) -> None:
    (tmp_path / USED).write_text(line + "\n")
    assert read_used(tmp_path) == []
