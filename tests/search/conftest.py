"""What the tests of searches share: real recipes and sweeps over them."""

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import pytest

from service.config.cifar import CIFARConfig
from service.config.errors import ConfigurationError
from service.config.loading import load
from service.config.sweep import SweepConfig
from service.search.checking import check_space
from service.search.configurations import Configurations
from service.search.proposals import Proposals, build
from service.search.space import Space
from service.search.trials import Point, Result, Status, Trial

MakeSweep = Callable[..., SweepConfig]
MakeSpace = Callable[..., Space]
MakeTrial = Callable[..., Trial]
Check = Callable[..., list[str]]
Build = Callable[..., Proposals]
RunSweep = Callable[[Proposals, Callable[[Point], float]], list[Point]]
Seeded = Callable[[int], Random]


@pytest.fixture(scope="session")
def recipe() -> dict[str, Any]:
    """ResNet-20 with ShakeDrop as a nested mapping."""
    return load(CIFARConfig, overrides=["model.depth=20"]).model_dump(mode="json")


@pytest.fixture(scope="session")
def configurations(recipe: dict[str, Any]) -> Configurations:
    """The configurations around the recipe."""
    return Configurations(CIFARConfig, recipe)


@pytest.fixture(scope="session")
def seeded() -> Seeded:
    """Returns a source of random numbers with this seed."""
    return Random


@pytest.fixture(scope="session")
def make_sweep() -> MakeSweep:
    """Builds a sweep from what a file would hold."""

    def made(space: Mapping[str, Any], **settings: Any) -> SweepConfig:  # noqa: ANN401  # as YAML
        return SweepConfig.model_validate({"space": space, **settings})

    return made


@pytest.fixture(scope="session")
def make_space(configurations: Configurations, make_sweep: MakeSweep) -> MakeSpace:
    """Builds a space over the recipe."""

    def made(space: Mapping[str, Any]) -> Space:
        return Space(make_sweep(space).space, configurations)

    return made


@pytest.fixture(scope="session")
def make_trial() -> MakeTrial:
    """Builds a trial of one evaluation after one epoch."""

    def made(
        number: int,
        point: Point,
        value: float | None = None,
        status: Status = "finished",
        seconds: float = 60.0,
    ) -> Trial:
        results = () if value is None else (Result(1.0, value, 60.0 * number, seconds),)
        return Trial(number, point, status, results)

    return made


@pytest.fixture(scope="session")
def regularizers() -> dict[str, Any]:
    """A conditional space: four regularisers, each with its strength."""
    kind = "model.regularizer.kind"
    return {
        "model.regularizer.p_l": {
            "kind": "uniform",
            "low": 0.3,
            "high": 0.9,
            "when": {kind: ["shakedrop", "random_drop"]},
        },
        kind: {"kind": "choice", "values": ["none", "shakedrop", "random_drop", "drop_block"]},
        "model.regularizer.drop_prob": {
            "kind": "uniform",
            "low": 0.05,
            "high": 0.3,
            "when": {kind: ["drop_block"]},
        },
        "optimizer.lr": {"kind": "log_uniform", "low": 0.01, "high": 1.0},
    }


@pytest.fixture(scope="session")
def alpha() -> dict[str, Any]:
    """Both ends of ShakeDrop's α, overlapping."""
    ends = {"kind": "uniform", "low": -1.0, "high": 1.0}
    return {"model.regularizer.alpha.low": ends, "model.regularizer.alpha.high": ends}


@pytest.fixture(scope="session")
def check(recipe: dict[str, Any], make_sweep: MakeSweep) -> Check:
    """Checks a sweep over the recipe and returns the lines of the error, none if there is none."""

    def checked(space: dict[str, Any], **settings: Any) -> list[str]:  # noqa: ANN401  # as YAML
        try:
            check_space(make_sweep(space, **settings), CIFARConfig, recipe)
        except ConfigurationError as error:
            return str(error).splitlines()
        return []

    return checked


@pytest.fixture(scope="session")
def built(recipe: dict[str, Any], make_sweep: MakeSweep) -> Build:
    """Builds what proposes for a sweep over the recipe."""

    def build_one(space: Mapping[str, Any], **settings: Any) -> Proposals:  # noqa: ANN401  # as YAML
        return build(make_sweep(space, **settings), CIFARConfig, recipe)

    return build_one


@pytest.fixture(scope="session")
def searched(built: Build) -> Build:
    """Builds what proposes a number of trials, by TPE unless another kind is given."""

    def build_one(
        space: Mapping[str, Any],
        trials: int,
        search: Mapping[str, Any] | None = None,
        **settings: Any,  # noqa: ANN401  # as YAML
    ) -> Proposals:
        return built(space, trials=trials, search={"kind": "tpe", **(search or {})}, **settings)

    return build_one


@pytest.fixture(scope="session")
def run_sweep(make_trial: MakeTrial) -> RunSweep:
    """Runs a sweep in which each trial ends before the next is asked for; returns the points."""

    def run(proposals: Proposals, score: Callable[[Point], float]) -> list[Point]:
        points: list[Point] = []
        while (point := proposals.ask()) is not None:
            points.append(point)
            proposals.tell(make_trial(len(points), point, score(point)))
        return points

    return run
