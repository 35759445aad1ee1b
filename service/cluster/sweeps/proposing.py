"""Hands the proposed trials to Ray Tune."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from ray.tune.experiment import Experiment, Trial
from ray.tune.experiment.config_parser import _create_trial_from_spec, _make_parser
from ray.tune.search.search_algorithm import SearchAlgorithm

from service.cluster.sweeps.trial_actor import KNOWN
from service.search import trials
from service.search.ledger import Ledger
from service.search.proposals import Proposals
from service.search.trials import Change


class Proposing(SearchAlgorithm):
    """First the trials that an earlier driver left unfinished, then new ones.

    A trial gets its number as its id in Tune, so that it is the same one after a restart.

    Args:
        ledger: The trials so far; new ones are added.
        proposals: Where new ones come from; it was told of those so far.
        live: Trials that may be under way at once.
        population: Whether the trials' values change while they train.
    """

    def __init__(
        self, ledger: Ledger, proposals: Proposals, live: int, *, population: bool
    ) -> None:
        self._ledger = ledger
        self._proposals = proposals
        self._unfinished = deque(t for t in ledger.trials if t.status == "running")
        self._room = live
        self._population = population
        self._spec: dict[str, Any] = {}

    @property
    def total_samples(self) -> int:
        """Trials in all."""
        return self._proposals.total

    def add_configurations(
        self, experiments: Experiment | Sequence[Experiment] | Mapping[str, Any]
    ) -> None:
        """Takes what all trials share."""
        if not isinstance(experiments, list) or len(experiments) != 1:
            raise ValueError("a sweep is one experiment")
        self._spec = experiments[0].spec

    def next_trial(self) -> Trial | None:
        """Returns the next trial, or None if there is no room or nothing left."""
        if self.is_finished() or self._room == 0:
            return None
        trial = self._unfinished.popleft() if self._unfinished else self._propose()
        if trial is None:
            return None
        self._room -= 1
        config = {KNOWN: trial.epochs, **trial.point}
        created: Trial = _create_trial_from_spec(
            self._spec | {"config": config},
            _make_parser(),
            evaluated_params=trial.point,
            experiment_tag=f"{trial.number:03d}",
            trial_id=f"{trial.number:03d}",
        )
        return created

    def on_trial_complete(
        self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False
    ) -> None:
        """Makes room for another trial."""
        self._room += 1

    def set_finished(self) -> None:
        """Hands out no more trials; what is left is for another driver."""
        super().set_finished()  # type: ignore[no-untyped-call]  # Tune's
        self._unfinished.clear()

    def _propose(self) -> "trials.Trial | None":
        point = self._proposals.ask()
        if point is None:
            self._finished = True
            return None
        trial = self._ledger.propose(point)
        if self._population:
            # The first values of a trial whose values will change.
            self._ledger.change(trial.number, Change(0.0, trial.number, point))
        if len(self._ledger.trials) >= self._proposals.total:
            self._finished = True
        return trial
