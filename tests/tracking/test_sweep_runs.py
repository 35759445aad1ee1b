"""The runs of a sweep in a real store: files beside them, searches by tag, tags of many."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from service.tracking.client import TrackingUnavailableError, connect
from service.tracking.delivery import Delivery
from service.tracking.request import RunRequest
from service.tracking.sweep_runs import runs_with_tag, set_tags, store_files

Open = Callable[..., str]


@pytest.fixture
def store(stored: RunRequest) -> MlflowClient:
    return connect(stored.uri)


@pytest.fixture
def open_tagged(stored: RunRequest, tmp_path: Path) -> Open:
    """Opens a run with tags and returns MLflow's name for it."""

    def opened(key: str, **tags: str) -> str:
        return Delivery(tmp_path, replace(stored, key=key, name=key, tags=tags)).open().run_id

    return opened


def files_of(client: MlflowClient, run_id: str) -> set[str]:
    return {file.path for file in client.list_artifacts(run_id)}


def test_files_are_stored_with_the_run_of_the_request(
    stored: RunRequest, store: MlflowClient, tmp_path: Path
) -> None:
    run_id = Delivery(tmp_path, stored).open().run_id
    for name, text in (("best.yaml", "model: {}\n"), ("report.md", "# α\n")):
        (tmp_path / name).write_text(text, "utf-8")
    assert store_files(tmp_path, stored, [tmp_path / "best.yaml", tmp_path / "report.md"]) is None
    assert files_of(store, run_id) == {"config.yaml", "best.yaml", "report.md"}
    down = tmp_path / "down"
    down.mkdir()
    got = store.download_artifacts(run_id, "report.md", str(down))
    assert Path(got).read_text("utf-8") == "# α\n"


def test_a_run_that_is_not_there_is_made_for_its_files(
    stored: RunRequest, store: MlflowClient, tmp_path: Path
) -> None:
    (tmp_path / "failure.txt").write_text("Traceback")
    assert store_files(tmp_path, stored, [tmp_path / "failure.txt"]) is None
    experiment = store.get_experiment_by_name(stored.experiment)
    assert experiment is not None
    (run,) = store.search_runs([experiment.experiment_id])
    assert files_of(store, run.info.run_id) == {"config.yaml", "failure.txt"}


def test_a_newer_file_takes_the_place_of_an_older_one(
    stored: RunRequest, store: MlflowClient, tmp_path: Path
) -> None:
    file, down = tmp_path / "best.yaml", tmp_path / "down"
    down.mkdir()
    for text in ("old", "new"):
        file.write_text(text)
        assert store_files(tmp_path, stored, [file]) is None
    run_id = Delivery(tmp_path, stored).open().run_id
    assert Path(store.download_artifacts(run_id, "best.yaml", str(down))).read_text() == "new"


def test_what_cannot_be_stored_is_said_in_one_line(
    stored: RunRequest, request_at: RunRequest, tmp_path: Path
) -> None:
    missing = [tmp_path / "gone.png", tmp_path / "gone.md"]
    problem = store_files(tmp_path, stored, missing)
    assert problem is not None
    assert problem.startswith("gone.png, gone.md not stored in MLflow: [Errno 2] No such file")
    (tmp_path / "there.md").touch()
    away = store_files(tmp_path, request_at, [tmp_path / "there.md"])
    assert away is not None
    assert away.startswith("there.md not stored in MLflow: ")
    assert len(away.splitlines()) == len(problem.splitlines()) == 1


def test_the_runs_of_a_sweep_are_found_by_its_name(
    stored: RunRequest, store: MlflowClient, open_tagged: Open
) -> None:
    first = open_tagged("1", sweep="mine", trial="001")
    second = open_tagged("2", sweep="mine", trial="002")
    open_tagged("3", sweep="another", trial="001")
    open_tagged("4", sweep="mine")  # the summary is no trial
    open_tagged("5", trial="003")
    open_tagged("6", sweep="mine-2", trial="004")
    open_tagged("7", sweep="MINE", trial="005")
    expected = {"001": first, "002": second}
    assert runs_with_tag(stored, "sweep", "mine", "trial") == expected
    store.set_terminated(first, "FAILED")
    assert runs_with_tag(stored, "sweep", "mine", "trial") == expected
    store.delete_run(second)
    assert runs_with_tag(stored, "sweep", "mine", "trial") == {"001": first}


def test_runs_of_other_experiments_are_others(stored: RunRequest, open_tagged: Open) -> None:
    open_tagged("1", sweep="mine", trial="001")
    other = replace(stored, experiment=f"{stored.experiment} too")
    assert runs_with_tag(other, "sweep", "mine", "trial") == {}


@pytest.mark.parametrize(
    "name", ["it's", 'a "good" one', "50%", "under_score", "back\\slash", "`tick`", "α β"]
)
def test_any_name_of_a_sweep_is_found(stored: RunRequest, open_tagged: Open, name: str) -> None:
    run_id = open_tagged("1", sweep=name, trial="001")
    open_tagged("2", sweep=f"{name}x", trial="002")
    open_tagged("3", sweep=name.replace("_", "x").replace("%", "5x") + "y", trial="003")
    assert runs_with_tag(stored, "sweep", name, "trial") == {"001": run_id}


def test_a_search_goes_through_all_pages(
    stored: RunRequest, store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real search in pages of three: a thousand runs would take a minute."""
    experiment = store.create_experiment(stored.experiment)
    made = {
        f"{number:03d}": store.create_run(
            experiment, tags={"sweep": "mine", "trial": f"{number:03d}"}
        ).info.run_id
        for number in range(1, 8)
    }
    whole = MlflowClient.search_runs

    def paged(*given: object, **named: object) -> object:
        return whole(*given, **{**named, "max_results": 3})  # type: ignore[arg-type]  # the caller's

    monkeypatch.setattr(MlflowClient, "search_runs", paged)
    assert runs_with_tag(stored, "sweep", "mine", "trial") == made


def test_tags_of_several_runs_are_set(
    stored: RunRequest, store: MlflowClient, open_tagged: Open
) -> None:
    first, second, third = (open_tagged(str(n), sweep="mine", rank="9") for n in range(3))
    set_tags(stored, {first: {"rank": "1", "winner": "yes"}, second: {"rank": "2"}})
    tags = [store.get_run(run_id).data.tags for run_id in (first, second, third)]
    assert [found["rank"] for found in tags] == ["1", "2", "9"]
    assert [found.get("winner") for found in tags] == ["yes", None, None]
    assert all(found["sweep"] == "mine" for found in tags)


def test_a_store_that_is_away_or_knows_no_such_run_is_told(
    stored: RunRequest, request_at: RunRequest
) -> None:
    with pytest.raises(TrackingUnavailableError, match="Run with id=none not found"):
        set_tags(stored, {"none": {"rank": "1"}})
    with pytest.raises(TrackingUnavailableError):
        set_tags(request_at, {"any": {"rank": "1"}})
    with pytest.raises(TrackingUnavailableError):
        runs_with_tag(request_at, "sweep", "mine", "trial")
