"""The MLflow run that a checkpoint came from."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.storage.address import is_address
from service.tracking.request import key_at, run_key
from service.tracking.runs import RUN_KEY_TAG
from service.tracking.weights import MODEL_ADDRESS, model_version

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

RUN_KEY = "run_key"
"""Entry of a checkpoint's metadata: what finds its run, wherever the checkpoint lies."""

_KEY = re.compile(r"[0-9a-f]{32}")
_RUN = re.compile(r"runs:/([\w\-]+)(?:/.*)?")


@dataclass(frozen=True)
class Origin:
    """What is known of where a checkpoint came from."""

    address: str
    """The checkpoint as the user named it."""
    keys: Sequence[str]
    """What `run_key` returns for the folders of runs that it may come from, the likeliest first."""


def origin_of(address: str, checkpoint: Path, metadata: Mapping[str, Any]) -> Origin:
    """Returns what is known of where a checkpoint came from.

    Args:
        address: As the user named it.
        checkpoint: Where it lies on this machine; the folder above it may be its run's.
        metadata: What it says of itself.
    """
    noted, folder = metadata.get(RUN_KEY), checkpoint.absolute().parent
    keys = [noted] if isinstance(noted, str) and _KEY.fullmatch(noted) else []
    if is_address(address):
        keys.append(key_at(address.rstrip("/").rpartition("/")[0]))
    return Origin(address, (*keys, run_key(folder.parent, folder.name)))


def run_of(client: "MlflowClient", origin: Origin) -> "Run | None":
    """Returns the run that a checkpoint came from, if MLflow knows it.

    It is the one that the address names, the one that a registered model's version belongs to, or
    the one with a key.

    Raises:
        Exception: Whatever MLflow raises when the server fails.
    """
    named = _RUN.fullmatch(origin.address)
    if named is not None:
        return client.get_run(named[1])
    if MODEL_ADDRESS.fullmatch(origin.address):
        made_in = model_version(client, origin.address).run_id
        if made_in:
            return client.get_run(made_in)
    experiments = [one.experiment_id for one in client.search_experiments()]
    for key in origin.keys:
        found = client.search_runs(experiments, f"tags.`{RUN_KEY_TAG}` = '{key}'", max_results=1)
        if found:
            return found[0]
    return None
