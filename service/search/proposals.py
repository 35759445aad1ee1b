"""Who proposes the trials of a sweep."""

from random import Random
from typing import Protocol

from service.config.merging import Tree
from service.config.run import RunConfig
from service.config.sweep import (
    GridSearchConfig,
    NoSchedulerConfig,
    RandomSearchConfig,
    SweepConfig,
)
from service.search.checking import check_space
from service.search.configurations import Configurations
from service.search.constraints import Constraint
from service.search.drawing import check_count, drawn_points
from service.search.feasibility import Feasibility
from service.search.grid import grid_points
from service.search.sequence import SequenceProposals
from service.search.space import Space
from service.search.tpe import TPEProposals
from service.search.trials import Point, Trial


class Proposals(Protocol):
    """Proposes points, each of them a valid configuration, none of them twice.

    Trials are numbered from 1 in the order of proposal. A resumed sweep first tells all its past
    trials, then asks: it gets what is missing.
    """

    @property
    def total(self) -> int:
        """Trials in all, past ones included."""

    def ask(self) -> Point | None:
        """Returns the point of the next trial, None if nothing is left."""

    def tell(self, trial: Trial) -> None:
        """Takes note of a trial: one that ended, failed or not, or one of before the resumption.

        Args:
            trial: The trial; one that was told as running is told again when it ends.
        """


def build(sweep: SweepConfig, schema: type[RunConfig], tree: Tree) -> Proposals:
    """Checks a sweep and returns who proposes its trials.

    Args:
        sweep: The sweep.
        schema: Class of the configuration that the recipe is for.
        tree: The recipe as a nested mapping, without the section `sweep`.

    Raises:
        ConfigurationError: The sweep cannot work; one line for each problem.
    """
    check_space(sweep, schema, tree)
    configurations = Configurations(schema, tree)
    feasibility = Feasibility(
        configurations, tuple(Constraint.parse(text) for text in sweep.constraints)
    )
    space = Space(sweep.space, configurations)
    trials = None if sweep.trials == "auto" else sweep.trials
    if isinstance(sweep.search, GridSearchConfig) or trials is None:
        points = grid_points(space, feasibility, trials)
        if not isinstance(sweep.scheduler, NoSchedulerConfig):
            # Early stopping compares a trial with those before it: where each is better than the
            # last, as along a slope of the grid, it would stop none.
            Random(0).shuffle(points)  # noqa: S311  # no secret
        return SequenceProposals(points, len(points))
    check_count(space, feasibility, trials)
    drawn = drawn_points(space, feasibility, sweep.search.seed)
    if isinstance(sweep.search, RandomSearchConfig):
        return SequenceProposals(drawn, trials)
    return TPEProposals(space, feasibility, sweep.mode, sweep.search, trials, drawn)
