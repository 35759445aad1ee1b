"""Addresses of MLflow's pages."""

import json
import shlex
from collections.abc import Sequence
from urllib.parse import quote

from service.tracking.address import is_sqlite, redact

_LOCAL_PAGES = "http://127.0.0.1:5000"
# Without it the pages open in the mode for language models, which shows no curves.
_MODE = "workflowType=machine_learning"


def run_url(uri: str, experiment_id: str, run_id: str) -> str:
    """Returns the address of a run's page.

    Args:
        uri: Resolved tracking URI; for sqlite the page is up once `ui_command` runs.
        experiment_id: MLflow's name for the experiment.
        run_id: MLflow's name for the run.
    """
    return f"{_pages(uri)}/#/experiments/{experiment_id}/runs/{run_id}?{_MODE}"


def compare_url(uri: str, run_ids: Sequence[str], experiment_ids: Sequence[str]) -> str:
    """Returns the address of the page that compares runs.

    Args:
        uri: Resolved tracking URI; for sqlite the page is up once `ui_command` runs.
        run_ids: MLflow's names for the runs.
        experiment_ids: MLflow's names for their experiments, each once.
    """
    runs, experiments = (
        quote(json.dumps(list(ids), separators=(",", ":"))) for ids in (run_ids, experiment_ids)
    )
    return f"{_pages(uri)}/#/compare-runs?runs={runs}&experiments={experiments}&{_MODE}"


def ui_command(uri: str) -> str:
    """Returns how to see the pages: a command and an address, or the address alone for a server."""
    if not is_sqlite(uri):
        return _pages(uri)
    return f"mlflow ui --backend-store-uri {shlex.quote(uri)}  # then open {_LOCAL_PAGES}"


def _pages(uri: str) -> str:
    """Returns the address of the first page, without its last slash and without secrets."""
    return _LOCAL_PAGES if is_sqlite(uri) else redact(uri).replace("***@", "").rstrip("/")
