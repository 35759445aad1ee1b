"""An exported folder is evaluated as the checkpoint is, and its figures find the run."""

import json
import shutil
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from service.inference.evaluation_command import evaluate
from service.tracking.request import RunRequest, run_key
from service.tracking.runs import open_run


@pytest.fixture
def labelled(tmp_path: Path, pictures: Path) -> Path:
    """The pictures as those of the five classes, without training pictures."""
    for number, file in enumerate(sorted(pictures.iterdir())):
        folder = tmp_path / "set" / ("chêne", "épicéa", "hêtre", "if", "orme")[number % 5]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, folder)
    return tmp_path / "set"


# SQLAlchemy's words about MLflow's own tables.
@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")
def test_the_figures_are_those_of_the_checkpoint_and_go_to_its_run(
    tmp_path: Path,
    checkpoint: Path,
    exported: Path,
    labelled: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    run_folder = checkpoint.parent
    request = RunRequest(
        uri=uri,
        experiment="woods",
        key=run_key(run_folder.parent, run_folder.name),
        name=run_folder.name,
        config_yaml="",
        artifact_location=(tmp_path / "artifacts").as_uri(),
    )
    run_id = open_run(MlflowClient(uri), request).run_id
    moved = tmp_path / "elsewhere"
    shutil.copytree(exported, moved)
    contents = []
    for address in (checkpoint, moved):
        file = tmp_path / f"{address.name}.json"
        arguments = ["--checkpoint", str(address), "--output", str(file), "--flip"]
        options = [f"data.root={labelled}", f"tracking.uri={uri}", f"storage.path={tmp_path}"]
        assert evaluate([*arguments, *options]) == 0
        contents.append(json.loads(file.read_text()))
        assert "logged as evaluation/set-flip/… to " in capsys.readouterr().out
    assert contents[0]["figures"] == contents[1]["figures"]
    assert [one["checkpoint"]["step"] for one in contents] == [10, 10]
    client = MlflowClient(uri)
    history = client.get_metric_history(run_id, "evaluation/set-flip/top1")
    assert [(one.step, one.value) for one in history] == [(10, contents[0]["figures"]["top1"])] * 2
    told = client.get_run(run_id).data.tags["evaluation.set-flip"]
    assert told.startswith("15 pictures (digest ")
    assert told.endswith("), model weights of step 10, with mirror images")
    kept = client.list_artifacts(run_id, "evaluation/set-flip/step_00000010")
    assert [Path(one.path).name for one in kept] == [
        *("classes.csv", "confusion.png", "figures.json", "reliability.png"),
    ]


def test_of_a_folder_without_a_run_one_line_says_so(
    tmp_path: Path, exported: Path, labelled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = [f"data.root={labelled}", f"storage.path={tmp_path / 'runs'}", "tracking.uri=auto"]
    assert evaluate(["--checkpoint", str(exported), *where]) == 0
    (line,) = [one for one in capsys.readouterr().out.splitlines() if "logged" in one]
    assert line.startswith("not logged: MLflow at sqlite:///")
    assert not (tmp_path / "runs" / "mlflow.db").exists()
    assert evaluate(["--checkpoint", str(exported), "--no-log", *where]) == 0
    assert "logged" not in capsys.readouterr().out
