"""`pipelines/cifar.py` and `pipelines/compare.py` as a researcher uses them."""

import shutil
import sys
from pathlib import Path

import pytest
import running
import torch
from small_pictures import write_parquet

from service.cluster.pipeline import run_pipeline
from service.training.checkpoint import read_checkpoint

sys.path.insert(0, str(running.ROOT / "pipelines"))
from cifar import PIPELINE
from compare import main as compare

pytestmark = pytest.mark.timeout(280)

SMALL = (
    "model.depth=8",
    "model.width=4",
    "training.duration=3ep",
    "training.batch_size=32",
    "training.log_every=4",
    "tracking.system_metrics_every=null",
    "cluster.num_workers=0",
)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    write_parquet(root, "train", 256)
    write_parquet(root, "test", 64)
    return root


def options(storage: Path, pictures: Path, *more: str) -> list[str]:
    data = ("data.kind=parquet", f"data.root={pictures}")
    return [f"storage.path={storage}", *data, *SMALL, *more]


def train(storage: Path, pictures: Path, *more: str) -> None:
    """Trains in this process, which has imported everything."""
    assert run_pipeline(PIPELINE, options(storage, pictures, *more)) == 0


def test_methods_are_trained_and_compared(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for regularizer in ("none", "shakedrop"):
        for seed in ("0", "1"):
            train(
                tmp_path,
                pictures,
                f"name={regularizer}{seed}",
                f"model.regularizer.kind={regularizer}",
                f"training.seed={seed}",
            )
    report = tmp_path / "report"
    places = ("--experiment", "cifar", "--storage", str(tmp_path), "--output", str(report))
    compared = running.run([*running.program("compare"), *places])
    assert compared.returncode == 0, compared.stderr
    table = (report / "comparison.md").read_text().splitlines()
    assert table[0] == "| method | error, % | published, % | difference | runs |"
    rows = table[2:4]
    assert all(row.endswith("| 2 |") and "±" in row for row in rows)
    assert {row.split("|")[1].strip() for row in rows} == {"none", "shakedrop"}
    assert table[5].startswith("All methods: ")
    assert "model shake_resnet8_2x4d" in table[5]
    assert (report / "comparison.png").read_bytes().startswith(b"\x89PNG")
    # Four classes told apart by colour: three epochs are enough to beat chance by far.
    best = min(float(row.split("|")[2].split("±")[0]) for row in rows)
    assert best < 40
    capsys.readouterr()
    assert compare(["--experiment", "other", "--storage", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: --experiment: no experiment 'other'")


def test_a_ramp_goes_on_where_a_stopped_run_left_it(tmp_path: Path, pictures: Path) -> None:
    ramp = (
        "model.regularizer.kind=random_drop",
        "model.regularizer.ramp.over=1run",
        "checkpoint.every_steps=5",
        "checkpoint.keep=100",
        "tracking.enabled=false",
    )
    train(tmp_path, pictures, "name=whole", *ramp)
    cut = tmp_path / "cut"
    shutil.copytree(tmp_path / "whole", cut)
    for folder in cut.glob("step_*"):
        if folder.name > "step_00000010":
            shutil.rmtree(folder)
    line = options(tmp_path, pictures, "--resume", "name=cut", *ramp)
    resumed = running.run([*running.program("cifar"), *line])
    assert resumed.returncode == 0, resumed.stderr
    whole, again = (read_checkpoint(tmp_path / n / "step_00000024") for n in ("whole", "cut"))
    for name, tensor in whole.model.items():
        assert torch.equal(tensor, again.model[name]), name


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("model.kind=cifar_resnet model.regularizer.kind=shake_shake", "shake_shake"),
        ("model.depth=9", "model: depth must be 6n+2"),
        ("data.root=missing", "data.root: "),
        ("model.regularizer.p_l=1.5", "model.regularizer.p_l: 1.5 is not allowed"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path,
    pictures: Path,
    capsys: pytest.CaptureFixture[str],
    option: str,
    message: str,
) -> None:
    assert run_pipeline(PIPELINE, options(tmp_path, pictures, *option.split())) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert message in lines[0]
