import csv
from collections.abc import Callable
from pathlib import Path

from service.config.sweep import ChoiceConfig, UniformConfig
from service.search.report.description import SweepDescription
from service.search.report.tables import write_tables
from service.search.trials import Trial

MakeTrial = Callable[..., Trial]
P_L, GATE = "model.regularizer.p_l", "model.regularizer.gate"
SWEEP = SweepDescription(
    "P_L | gate",
    "val/top1",
    "max",
    {P_L: UniformConfig(low=0, high=1), GATE: ChoiceConfig(values=("batch", None))},
    {P_L: "P_L", GATE: "gate"},
    workers=2,
    epochs=3,
)


def written(folder: Path, trials: list[Trial]) -> tuple[list[dict[str, str]], list[str]]:
    table, text = write_tables(folder, SWEEP, trials)
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file)), text.read_text(encoding="utf-8").splitlines()


def test_the_best_comes_first_and_the_failed_last(tmp_path: Path, make_trial: MakeTrial) -> None:
    trials = [
        make_trial(1, {P_L: 0.5}, [99], "failed"),
        make_trial(2, {P_L: 0.5}, [50, 60]),
        make_trial(3, {P_L: 0.5}, [], "running"),
        make_trial(4, {P_L: 0.5}, [70, 65], "stopped"),
    ]
    rows, lines = written(tmp_path, trials)
    assert [(row["rank"], row["trial"]) for row in rows] == [
        ("1", "4"),
        ("2", "2"),
        ("", "3"),
        ("", "1"),
    ]
    assert lines[2] == (
        "val/top1, % (more is better); 4 trials: 1 finished, 1 stopped early, 1 running, 1 failed; "
        "full length 3 epochs; 2 workers each"
    )
    assert [line.split(" | ")[1] for line in lines[6:]] == ["4", "2", "3", "1"]


def test_csv_keeps_all_digits_and_markdown_four(tmp_path: Path, make_trial: MakeTrial) -> None:
    value = 0.1 + 0.2
    trial = make_trial(1, {P_L: value, GATE: None}, [70.123456789, 69.5])
    rows, lines = written(tmp_path, [trial])
    assert float(rows[0]["P_L"]) == value
    assert float(rows[0]["best val/top1"]) == 70.123456789
    assert (rows[0]["gate"], rows[0]["last val/top1"], rows[0]["minutes"]) == (
        "null",
        "69.5",
        "2.0",
    )
    assert lines[6] == "| 1 | 1 | finished | 0.3 | null | 70.12 | 69.5 | 2 | 2 |  |"


def test_what_a_trial_lacks_is_empty(tmp_path: Path, make_trial: MakeTrial) -> None:
    rows, lines = written(tmp_path, [make_trial(1, {P_L: 0.5}, [], "failed")])
    assert (rows[0]["gate"], rows[0]["best val/top1"], rows[0]["last val/top1"]) == ("", "", "")
    assert lines[6].startswith("|  | 1 | failed | 0.5 |  |  |  |")


def test_a_reason_stays_in_its_cell(tmp_path: Path, make_trial: MakeTrial) -> None:
    reason = "worker 1 | out\nof memory: <Tensor> a\\|b"
    rows, lines = written(tmp_path, [make_trial(1, {P_L: 0.5}, [1], "failed", reason=reason)])
    assert rows[0]["reason"] == reason
    assert lines[0] == r"# P_L \| gate"
    assert lines[6].endswith(r"| worker 1 \| out of memory: \<Tensor> a\\\|b |")


def test_only_whole_files_are_left(tmp_path: Path, make_trial: MakeTrial) -> None:
    (tmp_path / "trials.csv").write_text("from an earlier report")
    written(tmp_path, [make_trial(1, {P_L: 0.5}, [1])])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["trials.csv", "trials.md"]
    assert "earlier" not in (tmp_path / "trials.csv").read_text()
