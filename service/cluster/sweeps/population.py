"""Population based training as a scheduler of Ray Tune.

Tune's own pauses a trial to replace it, and ends its workers with that. Here the workers wait after
an evaluation for a turn (`service.cluster.turns`), and go on in place with what it says.
"""

from collections.abc import Callable
from math import floor
from random import Random
from typing import Any

from ray.tune.experiment import Trial as TuneTrial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from service.cluster.runs import record
from service.cluster.sweeps.adoption import adopt
from service.cluster.sweeps.sweep import Sweep
from service.cluster.sweeps.trial_actor import EPOCH, KNOWN, METRIC, STEP
from service.cluster.turns import continuation, write_turn
from service.config.sweep import PopulationConfig
from service.search.evolution import explored, takeovers
from service.search.ledger import Ledger
from service.search.trials import Change, Point, Trial
from service.training.turn import Turn

_CLOSE = 1e-6  # epochs


class Population(FIFOScheduler):
    """Lets all trials train to the same epoch, replaces the worst, and lets them go on.

    A population that does not fit into the cluster at once takes turns: a trial that reached the
    epoch gives its workers to the next one, and starts again later.

    Args:
        sweep: The sweep.
        ledger: Its trials; takeovers are written down.
        size: Trials in all.
        config: When and how trials are replaced.
        repair: Makes a valid point of one that is not.
    """

    def __init__(
        self,
        sweep: Sweep,
        ledger: Ledger,
        size: int,
        config: PopulationConfig,
        repair: Callable[[Point], Point],
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Tune's
        self._sweep = sweep
        self._ledger = ledger
        self._size = size
        self._config = config
        self._repair = repair
        self._takes_turns = size > sweep.plan.concurrent
        self._latest: dict[int, tuple[float, float]] = {}
        self._waiting: dict[int, tuple[TuneTrial, int]] = {}

    def on_trial_result(
        self,
        tune_controller: Any,  # noqa: ANN401  # Tune's
        trial: TuneTrial,
        result: dict[str, Any],
    ) -> str:
        """Lets a trial go on, or wait for the others."""
        number, epoch, step = int(trial.trial_id), result[EPOCH], result[STEP]
        before = self._epoch(number)
        if epoch <= before:
            return TrialScheduler.CONTINUE  # shown again after a restart; it was answered
        self._latest[number] = (epoch, result[METRIC])
        if epoch < self._next_meeting(before) - _CLOSE:
            self._answer(number, step, "go_on")
            return TrialScheduler.CONTINUE
        self._waiting[number] = (trial, step)
        if not self._takes_turns:
            return TrialScheduler.CONTINUE
        self._answer(number, step, "stop")
        return TrialScheduler.PAUSE

    def on_trial_complete(self, tune_controller: Any, trial: TuneTrial, result: Any) -> None:  # noqa: ANN401  # Tune's
        """Ends a waiting trial and lets the others go on without it."""
        self._leave(trial)

    def on_trial_error(self, tune_controller: Any, trial: TuneTrial) -> None:  # noqa: ANN401  # Tune's
        """Lets the others go on without a trial."""
        self._leave(trial)

    def on_trial_remove(self, tune_controller: Any, trial: TuneTrial) -> None:  # noqa: ANN401  # Tune's
        """Ends a waiting trial."""
        self._leave(trial)

    def choose_trial_to_run(self, tune_controller: Any) -> TuneTrial | None:  # noqa: ANN401  # Tune's
        """Returns the trial that has trained least, of those that do not wait for others."""
        ready = [
            trial
            for trial in tune_controller.get_trials()
            if trial.status in (TuneTrial.PENDING, TuneTrial.PAUSED)
            and int(trial.trial_id) not in self._waiting
        ]
        return min(ready, key=lambda t: self._ledger[int(t.trial_id)].epochs, default=None)

    def meet(self) -> dict[int, int]:
        """Replaces the worst, once all living trials wait, and lets all of them go on.

        Returns:
            Which trial took over which one's state.
        """
        living = [trial for trial in self._ledger.trials if trial.status == "running"]
        if len(self._ledger.trials) < self._size or not living:
            return {}
        if any(trial.number not in self._waiting for trial in living):
            return {}
        # After an interruption some may be ahead: they wait until the others are there, too.
        epoch = min(self._epoch(trial.number) for trial in living)
        here = [t for t in living if self._epoch(t.number) <= epoch + _CLOSE]
        random = Random(f"{self._config.seed} {epoch:.6f}")  # noqa: S311  # no secret
        scores = {trial.number: self._latest[trial.number][1] for trial in here}
        sources = takeovers(scores, self._sweep.search.mode, self._config.quantile, random)
        points = {
            number: explored(
                self._ledger[source].point,
                self._sweep.search.space,
                self._config,
                random,
                self._repair,
            )
            for number, source in sources.items()
        }
        for trial in here:
            self._go_on(trial, epoch, sources.get(trial.number), points.get(trial.number))
        return sources

    def _go_on(self, trial: Trial, epoch: float, source: int | None, point: Point | None) -> None:
        tune_trial, step = self._waiting.pop(trial.number)
        if source is not None and point is not None:
            self._take_over(trial.number, step, epoch, source, point)
        elif not self._takes_turns:
            self._answer(trial.number, step, "go_on")
        # What an actor begins with that takes the trial up again.
        config = {KNOWN: epoch, **self._ledger[trial.number].point}
        tune_trial.set_config(config)  # type: ignore[no-untyped-call]  # Tune's

    def _take_over(self, number: int, step: int, epoch: float, source: int, point: Point) -> None:
        job = self._sweep.job(number, point)
        checkpoint = adopt(job.folder, self._sweep.trial_folder(source), step)
        record(job.folder, job.config)
        write_turn(job.folder, step, continuation(checkpoint, job.config))
        self._ledger.change(number, Change(epoch, source, point))

    def _answer(self, number: int, step: int, turn: Turn) -> None:
        write_turn(self._sweep.trial_folder(number), step, turn)

    def _leave(self, trial: TuneTrial) -> None:
        number = int(trial.trial_id)
        if number in self._waiting:
            _, step = self._waiting.pop(number)
            if not self._takes_turns:
                self._answer(number, step, "stop")

    def _epoch(self, number: int) -> float:
        known = self._latest.get(number)
        return known[0] if known is not None else self._ledger[number].epochs

    def _next_meeting(self, epoch: float) -> float:
        every = self._config.every
        return (floor(epoch / every + _CLOSE) + 1) * every
