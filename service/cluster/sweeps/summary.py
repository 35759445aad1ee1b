"""The summary run of a sweep: what was searched, what was found, and how to train the winner."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from service.cluster.console import announce
from service.cluster.sweeps import folders
from service.cluster.sweeps.sweep import SWEEP_TAG, TRIAL_TAG, Sweep
from service.cluster.sweeps.winner import write_best
from service.config.sweep import TPESearchConfig
from service.search.ledger import Ledger
from service.search.report.description import SweepDescription
from service.search.report.writing import write_report
from service.search.trials import ranked
from service.tracking.address import reachable, redact
from service.tracking.client import TrackingUnavailableError
from service.tracking.delivery import kept_already
from service.tracking.links import compare_url
from service.tracking.parameters import Params
from service.tracking.request import RunRequest
from service.tracking.runs import StartedRun, Status
from service.tracking.sweep_runs import runs_with_tag, set_tags, store_files
from service.tracking.tracker import RunTracker, close_ahead, end_run, start_run

_STOPPED = "asked to stop; --resume goes on"


class Summary:
    """The summary run; as a context manager it is closed whatever happens.

    Args:
        sweep: The sweep.
        ledger: Its trials.
        keep: Called before anything is sent to MLflow; see `Delivery`.
    """

    def __init__(
        self, sweep: Sweep, ledger: Ledger, keep: Callable[[], None] = kept_already
    ) -> None:
        self._sweep = sweep
        self._keep = keep
        self._ledger = ledger
        self._request = _request(sweep)
        self._started = self._start()
        self._tracker = RunTracker(
            sweep.folder,
            self._request,
            run_id=self._started.run_id if self._started else None,
            keep=keep,
        )
        self._ended = False
        self.files: list[Path] = []
        """What `finish` wrote."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._tracker.close()
        if not self._ended and self._request is not None:
            reason = f"{type(error).__name__}: {error}"
            end_run(self._sweep.folder, self._request, "FAILED", reason=reason, keep=self._keep)

    def log(self) -> None:
        """Records the best value so far and what was spent on it."""
        mode = self._sweep.search.mode
        leaders = ranked(self._ledger.trials, mode)
        best = leaders[0].best(mode) if leaders else None
        results = sum(len(trial.results) for trial in self._ledger.trials)
        figures = {"sweep/epochs": self._ledger.epochs, "sweep/hours": self._ledger.elapsed / 3600}
        if best is not None:
            figures = {"sweep/best": best, **figures}
        self._tracker.log(results, figures)

    def finish(self, *, stopped: bool) -> None:
        """Writes the report and closes the run.

        Args:
            stopped: Whether the sweep was asked to stop before its end.
        """
        sweep = self._sweep
        self.files = write_report(sweep.folder / "report", _description(sweep), self._ledger.trials)
        best = write_best(sweep, self._ledger.trials)
        self._tracker.close()
        self._ended = True
        if self._request is None:
            return
        files = [*self.files, *best, sweep.folder / folders.CONFIG]
        problems = [store_files(sweep.folder, self._request, files), self._mark_trials()]
        status: Status = "KILLED" if stopped else "FINISHED"
        reason = _STOPPED if stopped else None
        problems.append(
            end_run(
                sweep.folder,
                self._request,
                status,
                reason=reason,
                tags=self._tags(),
                keep=self._keep,
            )
        )
        for problem in problems:
            if problem is not None:
                announce(f"warning: {problem}")

    def close_ahead(self) -> None:
        """Closes the run before the sweep has ended: its driver may be killed at any moment."""
        if self._request is not None and self._started is not None:
            close_ahead(self._request, self._started.run_id, "KILLED", _STOPPED)

    def compare_address(self) -> str | None:
        """Returns the address of MLflow's page that compares the trials, if MLflow answers."""
        if self._request is None or self._started is None:
            return None
        runs = self._trial_runs()
        ids = [run_id for _, run_id in sorted(runs.items())]
        return compare_url(self._request.uri, ids, [self._started.experiment_id]) if ids else None

    def _start(self) -> StartedRun | None:
        if self._request is None:
            return None
        problem = reachable(self._request.uri)
        if problem is None:
            return start_run(self._sweep.folder, self._request)
        announce(
            f"warning: MLflow at {redact(self._request.uri)} does not answer ({problem}); the "
            f"sweep goes on, what it finds is kept in {self._sweep.folder} and delivered later"
        )
        return None

    def _trial_runs(self) -> dict[str, str]:
        if self._request is None:
            return {}
        try:
            return runs_with_tag(self._request, SWEEP_TAG, self._sweep.name, TRIAL_TAG)
        except TrackingUnavailableError:
            return {}  # said once at the start, or by `store_files`

    def _mark_trials(self) -> str | None:
        """Corrects the address of checkpoints that were removed after their trial's end."""
        if self._request is None:
            return None
        gone = {"checkpoint": f"removed: not among the best {self._sweep.search.keep}"}
        tags: dict[str, Mapping[str, str]] = {}
        runs = self._trial_runs()
        for trial in self._ledger.trials:
            run_id = runs.get(f"{trial.number:03d}")
            folder = trial.facts.get("checkpoint")
            if run_id and folder is not None and not Path(folder).exists():
                tags[run_id] = gone
        try:
            set_tags(self._request, tags)
        except TrackingUnavailableError as error:
            return f"the trials' checkpoint tags were not corrected in MLflow: {error}"
        return None

    def _tags(self) -> dict[str, str]:
        address = self.compare_address()
        leaders = ranked(self._ledger.trials, self._sweep.search.mode)
        best = {"best_trial": f"{leaders[0].number:03d}"} if leaders else {}
        return best | ({"compare": address} if address else {})


def _request(sweep: Sweep) -> RunRequest | None:
    if sweep.request is None:
        return None
    search = sweep.search
    params: Params = {
        "search": search.search.kind,
        "scheduler": search.scheduler.kind,
        "metric": search.metric,
        "searched": " ".join(sweep.names.values()),
    }
    return replace(
        sweep.request,
        name=f"{sweep.name} summary",
        params=params,
        tags={**sweep.request.tags, "sweep_summary": "true"},
    )


def _description(sweep: Sweep) -> SweepDescription:
    search = sweep.search
    return SweepDescription(
        title=sweep.name,
        metric=search.metric,
        mode=search.mode,
        space=search.space,
        names=sweep.names,
        workers=sweep.plan.each.num_workers,
        epochs=sweep.length.epochs,
        objectives=search.search.objectives
        if isinstance(search.search, TPESearchConfig)
        else "metric",
    )
