"""What MLflow is told of trials before they have ended."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from service.cluster.preparation import base_request
from service.cluster.sweeps.ending import Ending
from service.cluster.sweeps.sweep import SWEEP_TAG, TRIAL_TAG, Sweep
from service.search.ledger import Ledger
from service.tracking.client import connect
from service.tracking.tracker import end_run, start_run


def test_a_sweep_that_is_asked_to_stop_closes_the_trials_under_way_and_no_others(
    tmp_path: Path,
    make_sweep: Callable[..., Sweep],
    ledger: Ledger,
    train: Callable[..., None],
) -> None:
    sweep = make_sweep("tracking.uri=auto")
    request = base_request(sweep.config, tmp_path, sweep.name, "", nodes=1)
    sweep = replace(sweep, request=replace(request, tags={SWEEP_TAG: sweep.name}))
    for number in (1, 2):
        job = sweep.job(number, ledger.propose({"optimizer.lr": 0.1 * number}).point)
        train(number, 60.0, 70.0)
        assert job.request is not None
        assert start_run(job.folder, job.request) is not None
        if number == 1:
            ledger.end(1, "finished", None, {})
            assert end_run(job.folder, job.request, "FINISHED") is None

    Ending(sweep).close_ahead(ledger)
    found = {run.data.tags[TRIAL_TAG]: run for run in connect(request.uri).search_runs(["1"])}
    assert {key: run.info.status for key, run in found.items()} == {
        "001": "FINISHED",
        "002": "KILLED",
    }
    told = found["002"].data.tags["status_reason"]
    assert told == "the sweep was stopped at epoch 2; --resume goes on"
    assert "status_reason" not in found["001"].data.tags
