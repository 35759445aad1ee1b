"""The benchmarks at a small size: they run, their lines are records, the report renders."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from service.benchmark.checkpoints import measure_checkpoints
from service.benchmark.coco_evaluation import measure_evaluation
from service.benchmark.goals import Goal, at_most, share, times_as_fast
from service.benchmark.masks import measure_masks
from service.benchmark.records import Record, append, read, table
from service.benchmark.scenes import jittered_detections, made_up_truth, read_truth, repeated_truth
from service.config.errors import ConfigurationError

PROGRAM = Path(__file__).parents[2] / "pipelines" / "benchmark.py"


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(PROGRAM), *arguments],
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )


def _record(**fields: object) -> Record:
    given = {
        "what": "a | b",
        "peer": "other",
        "ours": (1.0, 1.0, 2.0),
        "peers": (5.0, 4.0, 6.0),
        "goal": times_as_fast(3),
        "agreement": "the same",
    }
    return Record(**{**given, **fields})


def test_masks_agree_and_both_ways_are_timed() -> None:
    record = measure_masks(detections=9, height=60, width=80, rounds=2)
    assert record.agreement == "9 of 9 run lengths identical"
    assert len(record.ours) == len(record.peers) == 2


def test_a_checkpoint_holds_what_torch_would_save() -> None:
    record = measure_checkpoints(depth=18, rounds=1)
    saved, _, of = record.agreement.partition(" of ")
    assert of == f"{saved} tensors equal"
    assert int(saved) > 100


def test_figures_agree_with_two_workers() -> None:
    truth = made_up_truth(12, seed=0)
    found = jittered_detections(truth, 6, seed=0, masks=False)
    record = measure_evaluation(truth, found, kind="box", workers=2, rounds=1)
    assert record.agreement == "12 of 12 figures equal to the last digit"


def test_the_program_records_what_it_measures_and_makes_a_table(tmp_path: Path) -> None:
    file = tmp_path / "new" / "benchmark.jsonl"
    masks = ("masks", "--detections", "3", "--height", "40", "--width", "50", "--rounds", "1")
    assert _run(*masks, "--output", str(file)).returncode == 0
    line = json.loads(file.read_text())
    assert line["versions"].keys() >= {"python", "torch", "torchvision", "pycocotools", "numpy"}
    assert line["hardware"]["cores"] >= 1
    assert line["command"].startswith("python pipelines/benchmark.py masks --detections 3")
    report = _run("report", str(file))
    assert report.returncode == 0
    assert "masks of 3 detections in a picture of 50 × 40" in report.stdout


def test_a_file_that_is_no_record_is_named(tmp_path: Path) -> None:
    result = _run("report", str(tmp_path / "none.jsonl"))
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert "none.jsonl" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "line", ["{", "[]", "{}", json.dumps({"what": "x"}), "null", '{"what": NaN}']
)
def test_a_damaged_line_is_named(line: str, tmp_path: Path) -> None:
    file = tmp_path / "lines.jsonl"
    append(_record(), file)
    with file.open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(ConfigurationError, match=r"lines\.jsonl, line 2: not a benchmark's record"):
        read(file)


def test_records_come_back_as_they_were(tmp_path: Path) -> None:
    file = tmp_path / "lines.jsonl"
    append(_record(), file)
    append(_record(what="later"), file)
    first, second = read(file)
    assert first.versions == _record().versions
    assert first.figures == (5.0, 4.0, 3.0)
    assert first.goal.met(first.figures)
    assert second.what == "later"


@pytest.mark.parametrize(
    ("goal", "figure", "met"),
    [
        (times_as_fast(4), "4 times as fast as other (3 to 5 in 3 rounds, goal ≥ 4: met)", True),
        (times_as_fast(4.1), "(3 to 5 in 3 rounds, goal ≥ 4.1: missed)", False),
        (share(0.25), "0.25 of other (0.2 to 0.3333 in 3 rounds, goal ≤ 0.25: met)", True),
        (share(0.2), "goal ≤ 0.2: missed)", False),
        (at_most(1), ": 1 s (1 to 2 in 3 rounds, goal ≤ 1: met)", True),
        (at_most(0.9), "goal ≤ 0.9: missed)", False),
    ],
)
def test_a_goal_bounds_the_median(goal: Goal, figure: str, met: bool) -> None:
    record = _record(goal=goal)
    assert figure in str(record)
    assert ("missed" in table([record])) is not met


def test_a_table_has_a_row_for_each_record() -> None:
    lines = table([_record(), _record(what="later")]).splitlines()
    assert len({line.replace("\\|", "").count("|") for line in lines[:4]}) == 1
    assert "**4** (3–5, 3 rounds)" in lines[2]
    assert lines[4] == ""
    assert len(lines) == 6  # one machine


def test_real_annotations_are_repeated_under_new_ids(tmp_path: Path) -> None:
    truth = made_up_truth(4, seed=1)
    file = tmp_path / "instances.json"
    file.write_text(json.dumps(truth))
    repeated = repeated_truth(read_truth(file), 10)
    assert [one["id"] for one in repeated["images"]] == list(range(1, 11))
    ids = [one["id"] for one in repeated["annotations"]]
    assert ids == list(range(1, len(ids) + 1))
    boxes = {n: [a["bbox"] for a in repeated["annotations"] if a["image_id"] == n] for n in (1, 5)}
    assert boxes[1] == boxes[5]


@pytest.mark.parametrize("content", ["{", "[]", '{"images": []}', None])
def test_a_file_that_is_no_annotation_file_is_named(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "instances.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigurationError, match=r"instances\.json: not a COCO annotation file"):
        read_truth(file)


def test_made_up_scenes_hold_what_evaluation_has_rules_for() -> None:
    truth = made_up_truth(200, seed=2)
    areas = [one["area"] for one in truth["annotations"]]
    assert min(areas) < 32**2 < 96**2 < max(areas)
    assert any(one["iscrowd"] for one in truth["annotations"])
    assert len({one["image_id"] for one in truth["annotations"]}) < 200
