"""Errors that end a run at the first time, kept in its folder."""

import json
from pathlib import Path

import pytest

from service.cluster.fatal import (
    AfterFailure,
    forget,
    no_restart,
    raise_kept,
    reason_of_restart,
)
from service.config.errors import ConfigurationError, RunError
from service.training.loop import NonFiniteError


def keep(folder: Path, error: Exception) -> None:
    with pytest.raises(type(error)), no_restart(folder):
        raise error


@pytest.mark.parametrize(
    ("raised", "kind"),
    [(ConfigurationError, ConfigurationError), (RunError, RunError), (NonFiniteError, RunError)],
)
@pytest.mark.parametrize("text", ["data.root: no such folder", 'zwölf\nlines: "α"', ""])
def test_what_would_only_be_repeated_is_raised_by_the_driver(
    tmp_path: Path, raised: type[Exception], kind: type[Exception], text: str
) -> None:
    keep(tmp_path, raised(text))
    for _ in range(2):  # it stays until it is forgotten
        with pytest.raises(kind) as caught:
            raise_kept(tmp_path)
        assert type(caught.value) is kind
        assert str(caught.value) == text


@pytest.mark.parametrize(
    "error", [ValueError("a"), RuntimeError("b"), OSError("c"), KeyboardInterrupt()]
)
def test_other_errors_are_failures_that_a_restart_may_heal(
    tmp_path: Path, error: BaseException
) -> None:
    """ConfigurationError is a ValueError and RunError a RuntimeError; those are not."""
    with pytest.raises(type(error)), no_restart(tmp_path):
        raise error
    raise_kept(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_run_without_errors_leaves_nothing(tmp_path: Path) -> None:
    with no_restart(tmp_path / "run"):
        pass
    assert list(tmp_path.iterdir()) == []
    raise_kept(tmp_path / "run")


def test_ray_is_kept_from_a_restart_by_what_one_worker_met(tmp_path: Path) -> None:
    keep(tmp_path, NonFiniteError("loss"))
    with pytest.raises(RunError, match=r"^loss$"):
        AfterFailure(tmp_path).after_exception(None, {1: RuntimeError("the connection was lost")})


def test_why_the_workers_are_started_again_is_told_once(tmp_path: Path) -> None:
    assert reason_of_restart(tmp_path) is None
    failures = {2: OSError("away"), 1: ValueError("http://anna:geheim@server\nis gone")}
    AfterFailure(tmp_path).after_exception(None, failures)
    told = reason_of_restart(tmp_path)
    assert told is not None
    assert told.startswith("worker 1: ValueError: http://")
    assert "geheim" not in told
    assert told.endswith("server is gone")
    assert reason_of_restart(tmp_path) is None
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_started_again_forgets(tmp_path: Path) -> None:
    forget(tmp_path)
    keep(tmp_path, NonFiniteError("loss"))
    forget(tmp_path)
    raise_kept(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_all_workers_may_meet_it(tmp_path: Path) -> None:
    for rank in range(3):
        keep(tmp_path, ConfigurationError(f"met by {rank}"))
    with pytest.raises(ConfigurationError, match=r"^met by 2$"):
        raise_kept(tmp_path)
    # Whole and alone: nothing unfinished lies beside it.
    (file,) = tmp_path.iterdir()
    assert json.loads(file.read_text("utf-8")) == ["input", "met by 2"]
