"""A run's identity travels between processes and gives no secrets away."""

import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from service.tracking.request import DatasetSplit, RunRequest, run_key


def test_a_request_can_be_sent_to_another_process(request_at: RunRequest) -> None:
    assert pickle.loads(pickle.dumps(request_at)) == request_at  # noqa: S301  # our own bytes


def test_a_printed_request_shows_no_password(request_at: RunRequest) -> None:
    assert "secret" not in repr(replace(request_at, uri="http://someone:secret@host"))


def test_a_key_names_the_run_folder_wherever_it_is_asked_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    key = run_key(tmp_path / "runs", "a")
    assert run_key(Path("runs"), "a") == key
    assert len({key, run_key(tmp_path / "runs", "b"), run_key(tmp_path / "other", "a")}) == 3


@pytest.mark.parametrize("digest", ["", "0" * 37])
def test_a_digest_mlflow_would_refuse_is_refused(digest: str) -> None:
    with pytest.raises(ValueError, match="drawn-train"):
        DatasetSplit("drawn-train", digest, "drawn", "train", 10)
