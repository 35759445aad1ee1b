"""What the tests of sweeps share: real sweeps over a small recipe, without a cluster."""

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from service.cluster.applications import CLASSIFICATION
from service.cluster.driver_lock import Claim
from service.cluster.driver_marks import FileMark
from service.cluster.job import Facts
from service.cluster.resources import Plan, TrialPlan
from service.cluster.sweeps.sweep import Sweep
from service.config.sweep_files import load_sweep
from service.search.ledger import Ledger
from service.search.trials import Result

MakeSweep = Callable[..., Sweep]
Seeded = Callable[[int], Random]

_RECIPE = [
    "name=a-sweep",
    "model.depth=20",
    "model.regularizer.kind=shakedrop",
    "training.duration=9ep",
    "training.batch_size=64",
    "sweep.space={model.regularizer.p_l: {kind: uniform, low: 0.1, high: 0.9},"
    " optimizer.lr: {kind: log_uniform, low: 0.01, high: 1}}",
    "sweep.search={kind: random}",
    "sweep.trials=4",
]


@pytest.fixture(scope="session")
def seeded() -> Seeded:
    """Returns a source of random numbers with this seed."""
    return Random


@pytest.fixture
def make_sweep(tmp_path: Path) -> MakeSweep:
    """Builds a sweep over ResNet-20 with ShakeDrop: 9 epochs of 256 pictures, two at a time."""

    def made(*overrides: str) -> Sweep:
        config = load_sweep([], [*_RECIPE, *overrides])
        plan = TrialPlan(Plan(1, 1, 0, 1), 2)
        claim = Claim(
            tmp_path / "a-sweep", FileMark(tmp_path / "a-sweep" / "driver.json"), "nobody else's"
        )
        sweep = Sweep(config, tmp_path, CLASSIFICATION, Facts(256, ()), plan, None, claim)
        sweep.folder.mkdir(exist_ok=True)
        return sweep

    return made


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """An empty ledger."""
    return Ledger(tmp_path / "trials.jsonl")


@pytest.fixture
def train(ledger: Ledger) -> Callable[..., None]:
    """Adds results of a trial, one for each epoch from its last one on, ten seconds apart."""

    def trained(number: int, *values: float) -> None:
        for value in values:
            epoch = ledger[number].epochs + 1
            ledger.add_result(number, Result(epoch, value, ledger.elapsed + 10, 10 * epoch))

    return trained
