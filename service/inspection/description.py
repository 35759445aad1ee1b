"""What a run used and did, in the order in which people ask."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from service.config.errors import ConfigurationError
from service.inspection.checkpoints import kept_checkpoints
from service.inspection.configurations import differences, kept_tree, leaves
from service.inspection.figures import figures
from service.inspection.folders import Place, size_of
from service.inspection.journals import History, read_history
from service.inspection.ledgers import told_of_trial
from service.inspection.states import Standing, standing, trial_number
from service.inspection.writing import (
    Value,
    bytes_text,
    moment_text,
    shown_value,
    table,
    time_text,
)
from service.storage.working_copy import told
from service.tracking.recorded import RecordedRun
from service.tracking.source import CODE_DIGEST_TAG, VERSIONS_TAG
from service.tracking.used import Used, read_used
from service.training.retention import best_checkpoint

_MOST_EVENTS = 20


def described(
    place: Place, recorded: RecordedRun | None, untracked: str | None, *, everything: bool
) -> dict[str, list[str]]:
    """Returns what is known of a run: lines by what they are about.

    Args:
        place: The run.
        recorded: What MLflow knows of it.
        untracked: Why nothing is known from MLflow, if so.
        everything: Whether to tell the whole configuration, not only what differs from defaults.
    """
    history, stands = read_history(place.folder), standing(place)
    parts = {
        "run": [place.name],
        "state": list(_state(place, stands)),
        "folder": [f"{told(place.folder.absolute())}, {bytes_text(size_of(place.folder))}"],
        "time": list(_times(history)),
        "MLflow": list(_mlflow(recorded, untracked)),
        **_used(read_used(place.folder), recorded),
        "workers": [f"{count} from step {step}" for step, count in history.workers],
        "restarts": list(_restarts(history)),
        "skipped": list(_skipped(history)),
        "figures": list(_figures(place, history)),
        "checkpoints": list(_checkpoints(place, stands)),
        "told": [f"{moment_text(e.time / 1000)}: {e.text}" for e in history.events[-_MOST_EVENTS:]],
        "stacks": [str(file) for file in _stacks(place.folder)],
        "configuration": list(_configuration(place, everything=everything)),
    }
    return {subject: texts for subject, texts in parts.items() if texts}


def _state(place: Place, stands: Standing) -> Iterator[str]:
    length = f" of {stands.length}" if stands.length is not None else ""
    epoch = "" if stands.epoch is None else f", epoch {stands.epoch:g}{length}"
    step = "" if stands.step is None else f", step {stands.step}"
    yield f"{stands.state}{epoch}{step}"
    if stands.problem is not None:
        yield stands.problem
    reason = _reason(place)
    if reason is not None:
        yield reason


def _reason(place: Place) -> str | None:
    """Returns what ended a run, where its folder tells."""
    if place.kind == "trial":
        return told_of_trial(place.folder.parent, trial_number(place)).reason
    try:
        _, text = json.loads((place.folder / "fatal.json").read_bytes())
    except (OSError, ValueError, TypeError):
        return None
    return str(text)


def _times(history: History) -> Iterator[str]:
    if history.began is None:
        return
    yield f"{moment_text(history.began)} to {moment_text(history.ended)}"
    speed = history.images_per_second
    yield (
        f"training {time_text(history.training_seconds)}, "
        f"evaluation {time_text(history.evaluation_seconds)}"
        + ("" if speed is None else f", {speed:.5g} pictures/s (median)")
    )


def _mlflow(recorded: RecordedRun | None, untracked: str | None) -> Iterator[str]:
    if recorded is None:
        yield untracked or "does not know the run"
        return
    reason = recorded.tags.get("status_reason")
    yield f"{recorded.status}{f': {reason}' if reason else ''}, run {recorded.run_id}"
    yield recorded.url


def _used(used: list[Used], recorded: RecordedRun | None) -> dict[str, list[str]]:
    """Returns program, versions and data; the folder tells of each change, MLflow of the last."""
    parts: dict[str, list[str]] = {"program": [], "versions": [], "data": []}
    for one in used:
        since = f" (from {moment_text(one.time)})" if len(used) > 1 else ""
        parts["program"].append(_program(one.tags, one.config_digest) + since)
        parts["versions"].append(one.tags.get(VERSIONS_TAG, "unknown") + since)
        parts["data"] += [
            f"{split.name}: {split.samples} samples, digest {split.digest}, {split.source}"
            for split in one.datasets
        ]
    if not used and recorded is not None:
        digest = recorded.tags.get("config_digest", "unknown")
        parts["program"].append(_program(recorded.tags, digest))
        parts["versions"].append(recorded.tags.get(VERSIONS_TAG, "unknown"))
        parts["data"] += [
            f"{data.name}: {data.samples} samples, digest {data.digest}, {data.source}"
            for data in recorded.data
        ]
    return {name: list(dict.fromkeys(lines)) or ["not recorded"] for name, lines in parts.items()}


def _program(tags: Mapping[str, str], config_digest: str) -> str:
    commit = tags.get("mlflow.source.git.commit", "no commit")
    changed = " with changes" if tags.get("mlflow.git.dirty") == "true" else ""
    digest = f", files {tags[CODE_DIGEST_TAG]}" if CODE_DIGEST_TAG in tags else ""
    name = tags.get("mlflow.source.name", "program unknown")
    return f"{name}, {commit}{changed}{digest}, configuration {config_digest}"


def _restarts(history: History) -> Iterator[str]:
    if history.recoveries:
        seconds = ", ".join(f"{one:.3g}" for one in history.recoveries)
        yield f"{len(history.recoveries)}; seconds to new figures: {seconds}"
    else:
        yield "none"


def _skipped(history: History) -> Iterator[str]:
    pictures = history.skipped_pictures
    yield f"{history.skipped_steps} steps" + (
        "" if pictures is None else f", {pictures} training pictures"
    )
    if history.damaged_lines:
        yield f"{history.damaged_lines} lines of the journal are damaged"


def _figures(place: Place, history: History) -> Iterator[str]:
    for figure in figures(place, history):
        at = f" at step {figure.best_step}" if figure.best_step is not None else ""
        best = "" if figure.best is None else f", best {shown_value(figure.best)}{at}"
        yield f"{figure.name} {shown_value(figure.last)}{best}"


def _checkpoints(place: Place, stands: Standing) -> Iterator[str]:
    kept = kept_checkpoints(place.folder)
    if not kept:
        yield "none"
        return
    best = best_checkpoint(place.folder, stands.metric, stands.mode) if stands.metric else None
    rows = []
    for index, one in enumerate(kept):
        marks = [
            mark for mark, is_so in (("last", index == 0), ("best", one.folder == best)) if is_so
        ]
        figure: Value = one.metrics.get(stands.metric or "")
        rows.append(
            [
                one.folder.name,
                shown_value(one.epoch),
                shown_value(figure),
                bytes_text(size_of(one.folder)),
                " ".join(marks),
            ]
        )
    yield from table(["folder", "epoch", stands.metric or "figure", "size", ""], rows).splitlines()


def _stacks(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "stacks").glob("*.txt") if path.stat().st_size)


def _configuration(place: Place, *, everything: bool) -> Iterator[str]:
    try:
        tree = kept_tree(place)
    except ConfigurationError as error:
        yield str(error)
        return
    changed = differences(tree)
    rest = {path: value for path, value in leaves(tree).items() if path not in changed}
    yield f"{len(changed)} values are not the defaults, {len(rest)} are" + (
        ":" if everything else " (--all shows them):"
    )
    yield from map(_assignment, changed.items())
    if everything:
        yield "the defaults:"
        yield from map(_assignment, rest.items())


def _assignment(entry: tuple[str, object]) -> str:
    """Returns a value as one gives it on the command line."""
    path, value = entry
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000)
    return f"{path}={text.removesuffix(chr(10)).removesuffix('...').rstrip()}"
