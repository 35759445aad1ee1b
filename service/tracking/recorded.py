"""What MLflow knows of runs, for whoever looks at them after they were recorded."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.tracking.client import connect_to_existing, unavailable_on_failure
from service.tracking.links import run_url
from service.tracking.request import run_key
from service.tracking.runs import RUN_KEY_TAG

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

_PAGE = 1000


@dataclass(frozen=True)
class RecordedData:
    """A split of the data, as it was recorded."""

    name: str
    """Such as imagenet-train."""
    digest: str
    """What changes with the content."""
    source: str
    """Folder or address it came from."""
    samples: str
    """Number of samples."""


@dataclass(frozen=True)
class RecordedRun:
    """A run in MLflow."""

    run_id: str
    """MLflow's name for it."""
    name: str
    """Name of the run."""
    key: str
    """What `run_key` returns for its folder."""
    status: str
    """RUNNING, FINISHED, FAILED or KILLED."""
    url: str
    """Address of its page."""
    tags: dict[str, str]
    """Its tags."""
    metrics: dict[str, float]
    """Last value of each metric."""
    data: tuple[RecordedData, ...]
    """What it was trained and evaluated on."""


def recorded_runs(uri: str) -> list[RecordedRun]:
    """Returns all runs of this service that an MLflow knows.

    Args:
        uri: Resolved tracking URI.

    Raises:
        TrackingUnavailableError: MLflow cannot be used now.
    """
    return _search(uri, f"tags.`{RUN_KEY_TAG}` LIKE '%'")


def recorded_run(uri: str, storage: Path, name: str) -> RecordedRun | None:
    """Returns what an MLflow knows of one run.

    Args:
        uri: Resolved tracking URI.
        storage: Folder of all runs.
        name: Name of the run below it.

    Raises:
        TrackingUnavailableError: MLflow cannot be used now.
    """
    found = _search(uri, f"tags.`{RUN_KEY_TAG}` = '{run_key(storage, name)}'")
    return found[0] if found else None


def named_files(uri: str) -> list[str]:
    """Returns the addresses that the tags of runs and the registered models name.

    Args:
        uri: Resolved tracking URI.

    Raises:
        TrackingUnavailableError: MLflow cannot be used now.
    """
    with unavailable_on_failure():
        client = connect_to_existing(uri)
        texts = [text for run in _runs(client, "") for text in run.data.tags.values()]
        for version in _pages(lambda token: client.search_model_versions(page_token=token)):
            tags = version.tags.values() if isinstance(version.tags, dict) else ()
            texts += [str(version.source), *map(str, tags)]
        return texts


def _search(uri: str, condition: str) -> list[RecordedRun]:
    with unavailable_on_failure():
        return [_recorded(uri, run) for run in _runs(connect_to_existing(uri), condition)]


def _runs(client: "MlflowClient", condition: str) -> Iterator["Run"]:
    experiments = [
        one.experiment_id for one in _pages(lambda t: client.search_experiments(page_token=t))
    ]
    if not experiments:
        return
    yield from _pages(
        lambda token: client.search_runs(
            experiments,
            condition,
            max_results=_PAGE,
            order_by=["attributes.start_time ASC"],
            page_token=token,
        )
    )


def _pages(search: Callable[[str | None], Any]) -> Iterator[Any]:
    token = None
    while True:
        page = search(token)
        yield from page
        token = page.token
        if not token:
            return


def _recorded(uri: str, run: "Run") -> RecordedRun:
    info, inputs = run.info, run.inputs
    return RecordedRun(
        run_id=info.run_id,
        name=str(info.run_name),
        key=run.data.tags.get(RUN_KEY_TAG, ""),
        status=str(info.status),
        url=run_url(uri, info.experiment_id, info.run_id),
        tags=dict(run.data.tags),
        metrics=dict(run.data.metrics),
        data=tuple(_data(entry) for entry in (inputs.dataset_inputs if inputs else ())),
    )


def _data(entry: Any) -> RecordedData:  # noqa: ANN401  # MLflow's DatasetInput
    tags = {tag.key: tag.value for tag in entry.tags}
    return RecordedData(
        str(entry.dataset.name),
        str(entry.dataset.digest),
        _source(str(entry.dataset.source)),
        str(tags.get("samples", "unknown")),
    )


def _source(text: str) -> str:
    try:
        fields = json.loads(text)
    except ValueError:
        return text
    return str(fields.get("uri", text)) if isinstance(fields, dict) else text
