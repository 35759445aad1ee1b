"""The check of a sweep before anything starts."""

from collections import Counter
from collections.abc import Iterable, Iterator, Set

from service.config.changes import CHANGEABLE
from service.config.errors import ConfigurationError
from service.config.merging import Tree
from service.config.run import RunConfig
from service.config.sweep import (
    ChoiceConfig,
    GridSearchConfig,
    NoSchedulerConfig,
    PopulationConfig,
    SweepConfig,
    TPESearchConfig,
)
from service.search.conditions import condition_problems
from service.search.configurations import Configurations, value_of
from service.search.constraints import Constraint
from service.search.feasibility import Feasibility
from service.search.probing import Probe
from service.search.searchable import path_problems
from service.search.space import Space


def check_space(
    sweep: SweepConfig,
    schema: type[RunConfig],
    tree: Tree,
    changeable: Set[str] = CHANGEABLE,
) -> None:
    """Checks that a sweep can propose trials, and that each of its parts matters.

    Each value of a choice and both ends of an interval must be allowed beside some values of the
    other fields; some point must fulfil all constraints.

    Args:
        sweep: The sweep.
        schema: Class of the configuration that the recipe is for.
        tree: The recipe as a nested mapping, without the section `sweep`.
        changeable: Paths that population based training may change.

    Raises:
        ConfigurationError: Something cannot work; one line for each problem.
    """
    configurations = Configurations(schema, tree)
    constraints = tuple(Constraint.parse(text) for text in sweep.constraints)
    _refuse(_setting_problems(sweep))
    _refuse(path_problems(sweep, constraints, configurations))
    _refuse(_population_problems(sweep, changeable, configurations))
    space = Space(sweep.space, configurations)
    _refuse(_value_problems(sweep, space))
    _refuse(condition_problems(space, configurations))
    probe = Probe(space, Feasibility(configurations, constraints))
    _refuse(probe.problems())
    nothing_left = probe.nothing_left()
    _refuse([nothing_left] if nothing_left else [])


def _refuse(problems: Iterable[str]) -> None:
    """Raises all problems of one kind together; later ones may follow from them."""
    lines = list(dict.fromkeys(problems))
    if lines:
        raise ConfigurationError("\n".join(lines))


def _setting_problems(sweep: SweepConfig) -> Iterator[str]:
    if not sweep.space:
        yield (
            "sweep.space: is empty; give a field and what it is drawn from, such as "
            "model.regularizer.p_l: {kind: uniform, low: 0.5, high: 0.9}"
        )
    if sweep.trials == "auto" and not isinstance(sweep.search, GridSearchConfig):
        yield (
            "sweep.trials: auto takes all points of a grid; give a number with "
            f"sweep.search.kind={sweep.search.kind}"
        )
    match (sweep.search, sweep.scheduler):
        case (TPESearchConfig(), PopulationConfig()):
            yield (
                "sweep.search.kind: tpe does not go with sweep.scheduler.kind=pbt, which changes "
                "the values that it proposed; choose random"
            )
        case (TPESearchConfig(objectives="metric_and_time"), scheduler) if not isinstance(
            scheduler, NoSchedulerConfig
        ):
            yield (
                "sweep.search.objectives: metric_and_time needs sweep.scheduler.kind=none: the "
                "time of a trial that was stopped cannot be compared"
            )


def _population_problems(
    sweep: SweepConfig, changeable: Set[str], configurations: Configurations
) -> Iterator[str]:
    if not isinstance(sweep.scheduler, PopulationConfig):
        return
    for path, distribution in sweep.space.items():
        if path not in changeable:
            possible = [field for field in sorted(changeable) if _has(configurations, field)]
            yield (
                f"sweep.space: {path}: cannot change while a trial trains, as "
                f"sweep.scheduler.kind=pbt needs; it can search {', '.join(possible)}"
            )
        elif distribution.when:
            yield f"sweep.space: {path}: when: does not go with sweep.scheduler.kind=pbt; remove it"


def _has(configurations: Configurations, field: str) -> bool:
    config = configurations.built({})
    return config is None or value_of(config, field) is not None


def _value_problems(sweep: SweepConfig, space: Space) -> Iterator[str]:
    if isinstance(sweep.search, GridSearchConfig):
        yield from space.uncountable
    for dimension in space.dimensions:
        if isinstance(dimension.distribution, ChoiceConfig):
            counts = Counter(dimension.distribution.values)
            twice = [repr(value) for value, count in counts.items() if count > 1]
            if twice:
                yield f"sweep.space: {dimension.path}: values: {twice[0]} stands twice; remove one"
