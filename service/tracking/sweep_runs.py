"""The runs of a sweep: files and tags that are stored beside what the journals bring."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from service.tracking.client import (
    LONGEST_WAIT,
    TrackingUnavailableError,
    connect,
    unavailable_on_failure,
    within,
)
from service.tracking.delivery import Delivery
from service.tracking.request import RunRequest


def store_files(folder: Path, request: RunRequest, files: Sequence[Path]) -> str | None:
    """Stores files with a run, which is opened for it.

    Args:
        folder: The run's folder.
        request: The run.
        files: What to store, under the files' own names.

    Returns:
        None, or one line that says why they were not stored.
    """

    def store() -> None:
        run_id = Delivery(folder, request).open().run_id
        with unavailable_on_failure():
            client = connect(request.uri)
            for file in files:
                client.log_artifact(run_id, str(file))

    try:
        within(LONGEST_WAIT, store)
    except TrackingUnavailableError as error:
        return f"{', '.join(file.name for file in files)} not stored in MLflow: {error}"
    return None


def runs_with_tag(request: RunRequest, tag: str, value: str, by: str) -> dict[str, str]:
    """Returns the runs of an experiment that carry a tag, as MLflow calls them.

    Args:
        request: Any run of the experiment.
        tag: Name of the tag.
        value: Its value.
        by: Another tag, whose value is the key of the result; runs without it are left out.

    Raises:
        TrackingUnavailableError: MLflow cannot be used now.
    """
    return within(LONGEST_WAIT, lambda: _runs_with_tag(request, tag, value, by))


def _runs_with_tag(request: RunRequest, tag: str, value: str, by: str) -> dict[str, str]:
    with unavailable_on_failure():
        client = connect(request.uri)
        experiment = client.get_experiment_by_name(request.experiment)
        if experiment is None:
            return {}
        # MLflow knows no escapes, but both kinds of quotes.
        quote = '"' if "'" in value else "'"
        found: dict[str, str] = {}
        token = None
        while True:
            page = client.search_runs(
                [experiment.experiment_id],
                filter_string=f"tags.`{tag}` = {quote}{value}{quote}",
                max_results=1000,
                page_token=token,
            )
            found |= {run.data.tags[by]: run.info.run_id for run in page if by in run.data.tags}
            token = page.token
            if not token:
                return found


def set_tags(request: RunRequest, tags: Mapping[str, Mapping[str, str]]) -> None:
    """Sets tags of several runs.

    Args:
        request: Any run of the experiment.
        tags: Name and value of each tag, by MLflow's name for the run.

    Raises:
        TrackingUnavailableError: MLflow cannot be used now.
    """

    def store() -> None:
        from mlflow.entities import RunTag

        client = connect(request.uri)
        for run_id, values in tags.items():
            client.log_batch(run_id, tags=[RunTag(name, text) for name, text in values.items()])

    with unavailable_on_failure():
        within(LONGEST_WAIT, store)
