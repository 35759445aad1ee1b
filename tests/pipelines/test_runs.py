"""`pipelines/runs.py` over runs that were really trained, with a real MLflow store."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import running
from making_runs import state_of

from service.inspection.command import inspect
from service.tracking.client import connect
from service.tracking.used import read_used

sys.path.insert(0, str(running.ROOT / "pipelines"))
from imagenet import PIPELINE

pytestmark = pytest.mark.timeout(280)

_SMALLER = ("data.train_pictures=64", "data.evaluation_pictures=31", "training.duration=2ep")


def train(storage: Path, *options: str) -> None:
    assert running.train_here(PIPELINE, storage, *running.SMALL, *_SMALLER, *options) == 0


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs: `plain` reaches what its recipe expects, `shaken` goes on from its weights."""
    storage = tmp_path_factory.mktemp("runs")
    expected = "expected={metric: val/top1, value: 50, tolerance: 50, source: a paper}"
    none = "model.regularizer.kind=none"
    train(storage, "name=plain", none, expected, "checkpoint.keep=1")
    train(
        storage,
        "name=shaken",
        f"model.weights={storage / 'plain' / 'step_00000004'}",
        "expected={metric: val/top1, value: 99.9, tolerance: 0.01, source: a hope}",
    )
    return storage


@pytest.fixture
def storage(trained: Path, tmp_path: Path) -> Path:
    """The runs, to be changed; their MLflow store stays where it was."""
    copy = tmp_path / "runs"
    shutil.copytree(trained, copy, ignore=shutil.ignore_patterns("datasets", "mlflow*"))
    return copy


def asked(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert inspect(arguments) == 0
    return capsys.readouterr().out


def test_a_list_has_a_line_for_each_run(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("list", "--storage", str(trained), "--sort", "name", "--tracking", "auto")
    rows = json.loads(asked(capsys, *options, "--format", "json"))
    assert [row["name"] for row in rows] == ["plain", "shaken"]
    figures = json.loads((trained / "plain" / "step_00000004" / "metrics.json").read_text())
    plain = rows[0]
    files = (file for file in (trained / "plain").rglob("*") if file.is_file())
    assert plain == {
        "name": "plain",
        "kind": "run",
        "state": "finished",
        "epoch": 2.0,
        "epochs": "2",
        "metric": "val/top1",
        "best": figures["val/best_top1"],
        "last": figures["val/top1"],
        "bytes": sum(file.stat().st_size for file in files),
        "age": plain["age"],
        "mlflow": "FINISHED",
    }
    assert 0 <= plain["age"] < 300
    (header, *lines) = csv.reader(asked(capsys, *options, "--format", "csv").splitlines())
    assert header == list(plain)
    assert lines[0][:8] == [str(value) for value in list(plain.values())[:8]]
    table = asked(capsys, *options).splitlines()
    assert table[0].split() == header
    assert table[1].split()[:3] == ["plain", "run", "finished"]


def test_a_list_needs_neither_torch_nor_ray_nor_mlflow(trained: Path) -> None:
    program = (
        "import sys; from service.inspection.command import inspect\n"
        "inspect(['list', '--storage', sys.argv[1]])\n"
        "print(sorted({'torch', 'ray', 'mlflow', 'numpy'} & set(sys.modules)))"
    )
    line = [sys.executable, "-c", program, str(trained)]
    done = subprocess.run(line, capture_output=True, text=True, check=True, cwd=running.ROOT)
    assert done.stdout.splitlines()[-1] == "[]"


def test_damaged_and_foreign_folders_are_named(
    storage: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (storage / "plain" / "config.yaml").write_bytes(b"\xff\x00")
    (storage / "shaken" / "metrics.jsonl").write_bytes(b"\x00" * 1000)
    (storage / "holiday").mkdir()
    assert inspect(["list", "--storage", str(storage)]) == 0
    told = capsys.readouterr()
    assert "plain" in told.out
    assert state_of(storage, "shaken").state == "finished"
    lines = told.err.splitlines()
    assert len(lines) == 2
    assert f"plain: {storage / 'plain' / 'config.yaml'}: damaged" in lines[1]
    assert lines[0] == "note: holiday: neither a run nor a sweep"


def test_show_tells_what_a_run_used(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("show", "plain", "--storage", str(trained))
    told = json.loads(asked(capsys, *options, "--format", "json"))
    assert told["state"] == ["finished, epoch 2 of 2ep, step 4"]
    (used,) = read_used(trained / "plain")
    assert {split.context: split.samples for split in used.datasets} == {"train": 64, "val": 31}
    for split, line in zip(used.datasets, told["data"], strict=True):
        assert f"{split.samples} samples, digest {split.digest}" in line
    assert used.config_digest in told["program"][0]
    assert used.tags["versions"] == told["versions"][0]
    assert told["workers"] == ["1 from step 2"]
    assert told["restarts"] == ["none"]
    assert told["skipped"] == ["0 steps"]
    assert told["MLflow"][0].startswith("FINISHED, run ")
    assert "/#/experiments/" in told["MLflow"][1]
    assert told["checkpoints"][1].startswith("step_00000004")
    assert "last" in told["checkpoints"][1]
    changed = told["configuration"]
    assert {"model.regularizer.kind=none", "model.width=4"} <= set(changed)
    assert "training.seed=0" not in changed
    whole = json.loads(asked(capsys, *options, "--format", "json", "--all"))["configuration"]
    assert "training.seed=0" in whole
    text = asked(capsys, *options)
    assert "state          finished, epoch 2 of 2ep, step 4" in text.splitlines()


def test_without_mlflow_the_folder_tells(
    storage: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Its configuration says `auto`, and there is no database beside the copy.
    told = json.loads(asked(capsys, "show", "plain", "--storage", str(storage), "--format", "json"))
    assert told["MLflow"][0].endswith(f"there is no database {storage / 'mlflow.db'}")
    (used,) = read_used(trained / "plain")
    assert used.tags["versions"] == told["versions"][0]


def test_a_comparison_shows_what_differs_and_the_figures(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("compare", "plain", "shaken", "--storage", str(trained), "--format", "json")
    rows = {row["value"]: row for row in json.loads(asked(capsys, *options))}
    assert rows["model.regularizer.kind"]["plain"] == "none"
    assert rows["model.regularizer.kind"]["shaken"] == "shakedrop"
    assert rows["model.regularizer.p_l"] == {
        "value": "model.regularizer.p_l",
        "plain": None,
        "shaken": 0.5,
    }
    assert not {"name", "training.seed", "storage.path"} & set(rows)
    for name in ("plain", "shaken"):
        figures = json.loads((trained / name / "step_00000004" / "metrics.json").read_text())
        assert rows["val/top1 last"][name] == figures["val/top1"]
        assert rows["val/top1 best"][name] == figures["val/best_top1"]
        assert rows["state"][name] == "finished"
        assert rows["pictures/s, median"][name] > 0


def test_finished_runs_are_verified(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--storage", str(storage), "--checkpoints")
    assert inspect(["verify", "plain", *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("plain: reproduced: val/top1 ")
    assert lines[0].endswith(" (a paper)")
    assert lines[1] == "plain/step_00000004: whole"
    assert inspect(["verify", "plain", "shaken", "--storage", str(storage)]) == 1
    assert "shaken: not reproduced: val/top1 " in capsys.readouterr().out
    weights = storage / "plain" / "step_00000004" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    assert inspect(["verify", "plain", *options]) == 1
    told = f"plain/step_00000004: damaged: {weights}: its SHA-256 differs from the manifest's"
    assert told in capsys.readouterr().out.splitlines()
    shutil.rmtree(storage / "plain" / "step_00000004")
    assert inspect(["verify", "plain", "--storage", str(storage)]) == 1
    assert "plain: not finished: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("expected", "status", "told"),
    [
        ("null", 0, "nothing to compare with: its recipe expects no figure"),
        ("{value: unknown, source: nobody}", 0, "no figure published (nobody)"),
        ("{value: 0.5, source: x, metric: val/top7}", 1, "val/top7 was not measured"),
        ("{value: 50, source: x}", 0, "without a tolerance"),
        ("{value: much, source: x}", 1, "expected.value"),
    ],
)
def test_what_cannot_be_verified_is_said(
    storage: Path, capsys: pytest.CaptureFixture[str], expected: str, status: int, told: str
) -> None:
    file = storage / "plain" / "config.yaml"
    text = file.read_text()
    start = text.index("expected:")
    end = text.index("loss:", start)
    file.write_text(f"{text[:start]}expected: {expected}\n{text[end:]}")
    assert inspect(["verify", "plain", "--storage", str(storage)]) == status
    assert told in capsys.readouterr().out


def test_a_checkpoint_that_a_run_began_from_stays(
    storage: Path, trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = storage / "plain"
    # A later one, so that neither the last nor the best is the one referred to.
    best = json.loads((plain / "step_00000004" / "metrics.json").read_text()) | {"val/top1": 100.0}
    for step in ("step_00000006", "step_00000008"):
        shutil.copytree(plain / "step_00000004", plain / step)
        (plain / step / "metrics.json").write_text(json.dumps(best))
    before = sorted(path.name for path in plain.glob("step_*"))
    options = ("--delete", "--storage", str(storage))
    # The copy's runs were recorded, and its MLflow is not where they say.
    assert inspect(["clean", *options]) == 0
    assert sorted(path.name for path in plain.glob("step_*")) == before
    told = capsys.readouterr().err
    assert f"note: there is no {storage / 'mlflow.db'}, and runs were recorded in some" in told
    assert inspect(["clean", *options, "--tracking", f"sqlite:///{trained}/mlflow.db"]) == 0
    gone = set(before) - {path.name for path in plain.glob("step_*")}
    assert "step_00000004" not in gone
    assert "step_00000006" in gone
    assert "step_00000006  deleted" in capsys.readouterr().out


def test_a_checkpoint_from_which_a_model_was_registered_stays(storage: Path, trained: Path) -> None:
    plain, database = storage / "plain", f"sqlite:///{trained}/mlflow.db"
    for step in ("step_00000001", "step_00000003"):
        shutil.copytree(plain / "step_00000004", plain / step)
        (plain / step / "metrics.json").write_text('{"val/top1": 0.0}')
    client = connect(database)
    client.create_registered_model("drawn")
    client.create_model_version("drawn", f"file://{plain / 'step_00000001'}")
    assert inspect(["clean", "--delete", "--storage", str(storage), "--tracking", database]) == 0
    assert (plain / "step_00000001").exists()
    assert not (plain / "step_00000003").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("show", "plane"), "error: plane: no such run in "),
        (("compare", "plain"), "error: compare: one run alone"),
        (("list", "--sort", "colour"), "error: argument --sort: invalid choice"),
        (("clean", "--ended-early", "soon"), "error: argument --ended-early: 'soon' is not"),
        (("list", "--tracking", "ftp://host"), "error: --tracking: tracking.uri: ftp://host "),
        (("list", "--tracking", "http://a:geheim@host"), "error: --tracking: uri: holds a user"),
        (("list", "--tracking", "http://127.0.0.1:9"), "error: --tracking: MLflow at http"),
        (("tidy",), "error: tidy: not one of list, show, compare, verify, clean"),
    ],
)
def test_bad_input_is_one_line(
    trained: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], told: str
) -> None:
    options = [] if arguments == ("tidy",) else ["--storage", str(trained)]
    assert inspect([*arguments, *options]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(told)


def test_help_begins_with_a_sentence_and_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    lines = asked(capsys, "--help").splitlines()
    assert lines[0].endswith(".")
    assert lines[2] == "  python pipelines/runs.py list"
    with pytest.raises(SystemExit):
        inspect(["clean", "--help"])
    assert "python pipelines/runs.py clean --ended-early 30" in capsys.readouterr().out
