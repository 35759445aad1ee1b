"""Evaluations after training, in the run of the training."""

from pathlib import Path

import pytest

from service.storage.working_copy import working_copy
from service.tracking.client import TrackingUnavailableError, connect
from service.tracking.evaluations import EvaluationResult, log_evaluation, plain_name
from service.tracking.origin import RUN_KEY, Origin, origin_of
from service.tracking.request import RunRequest, run_key
from service.tracking.runs import finish_run, open_run


def result(folder: Path, step: int, top1: float) -> EvaluationResult:
    (folder / "classes.csv").write_text("class\n")
    return EvaluationResult(
        name="imagenet-v2",
        step=step,
        figures={"top1": top1},
        summary=f"of step {step}",
        files={"classes.csv": folder / "classes.csv", "worst/1.csv": folder / "classes.csv"},
    )


def test_an_evaluation_is_added_and_nothing_else_changes(
    tmp_path: Path, stored: RunRequest
) -> None:
    client = connect(stored.uri)
    run_id = open_run(client, stored).run_id
    client.log_metric(run_id, "val/top1", 70.0, step=200)
    finish_run(client, run_id, "FINISHED", None, {})
    before = client.get_run(run_id)

    found = Origin("runs/a-run/step_00000200", ("0" * 32, stored.key))
    for step, top1 in ((200, 69.0), (100, 60.0)):
        page = log_evaluation(stored.uri, found, result(tmp_path, step, top1))
        assert page is not None
        assert run_id in page
    named = log_evaluation(stored.uri, Origin(f"runs:/{run_id}", ()), result(tmp_path, 200, 69.5))
    assert named is not None

    after = client.get_run(run_id)
    # The latest checkpoint's, whichever was evaluated last.
    assert after.data.metrics == {**before.data.metrics, "evaluation/imagenet-v2/top1": 69.5}
    history = client.get_metric_history(run_id, "evaluation/imagenet-v2/top1")
    assert sorted((one.step, one.value) for one in history) == [
        (100, 60.0),
        (200, 69.0),
        (200, 69.5),
    ]
    assert after.data.tags.pop("evaluation.imagenet-v2") == "of step 200"
    assert after.data.tags == before.data.tags
    assert (after.info.status, after.info.end_time) == ("FINISHED", before.info.end_time)
    where = "evaluation/imagenet-v2/step_00000200"
    assert [file.path for file in client.list_artifacts(run_id, where)] == [
        f"{where}/classes.csv",
        f"{where}/worst",
    ]


def test_no_run_and_no_database(tmp_path: Path, stored: RunRequest) -> None:
    connect(stored.uri)
    unknown = Origin("runs/another/step_00000200", ("0" * 32,))
    assert log_evaluation(stored.uri, unknown, result(tmp_path, 1, 1.0)) is None
    with pytest.raises(TrackingUnavailableError, match="there is no database"):
        log_evaluation(f"sqlite:///{tmp_path}/none.db", unknown, result(tmp_path, 1, 1.0))
    assert not (tmp_path / "none.db").exists()


def test_a_checkpoint_that_was_moved_says_where_it_is_from(tmp_path: Path) -> None:
    lies_in = run_key(tmp_path, "a-run")
    checkpoint = tmp_path / "a-run" / "step_00000200"
    assert origin_of("x", checkpoint, {}).keys == (lies_in,)
    assert origin_of("x", checkpoint, {RUN_KEY: "0" * 32}).keys == ("0" * 32, lies_in)
    stored = origin_of("s3://bucket/runs/a-run/step_00000200/", tmp_path / "copy" / "x", {})
    assert stored.keys[0] == run_key(working_copy("s3://bucket/runs", tmp_path), "a-run")
    # It goes into a search.
    assert origin_of("x", checkpoint, {RUN_KEY: "' OR 1"}).keys == (lies_in,)
    assert origin_of("x", checkpoint, {RUN_KEY: 5}).keys == (lies_in,)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ImageNet V2/é", "ImageNet-V2"),
        ("../..", "data"),
        ("a" * 300, "a" * 100),
        ("ok_1.b", "ok_1.b"),
    ],
)
def test_names_that_mlflow_takes(text: str, name: str) -> None:
    assert plain_name(text) == name
