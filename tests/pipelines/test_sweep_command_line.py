"""What `pipelines/sweep.py` prints and does not run."""

from pathlib import Path

import pytest
import running

from service.cluster.sweeps.pipeline import run_sweep_pipeline

DEFAULT = running.ROOT / "configs" / "sweep" / "p_l.yaml"


def test_the_resolved_sweep_is_a_valid_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_sweep_pipeline(DEFAULT, ["--print-config", "sweep.keep=7"]) == 0
    printed = capsys.readouterr().out
    again = tmp_path / "again.yaml"
    again.write_text(printed)
    assert run_sweep_pipeline(DEFAULT, ["--config", str(again), "--print-config"]) == 0
    assert capsys.readouterr().out == printed
    assert "keep: 7" in printed


def test_help_names_every_part_of_a_sweep(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_sweep_pipeline(DEFAULT, ["--help"]) == 0
    text = capsys.readouterr().out
    for field in ("sweep.space.<name>.low", "sweep.scheduler.reduction", "sweep.budget.hours"):
        assert f"{field}=" in text
