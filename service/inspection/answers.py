"""The answers of `pipelines/runs.py`, printed."""

import argparse
import json
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from service.config.errors import ConfigurationError
from service.inspection.folders import Contents, Place, look_into
from service.inspection.overview import COLUMNS, MLFLOW, for_people, overview
from service.inspection.writing import bytes_text, written

if TYPE_CHECKING:
    from service.inspection.cleaning import Rules, Share

# Each answer imports what it alone needs: a list is there at once.


def list_runs(options: argparse.Namespace) -> int:
    """Prints all runs, a line each, and says of other folders that they are none."""
    contents = look_into(options.storage)
    recorded = None
    if options.tracking is not None:
        from service.inspection.asking import all_recorded

        recorded = all_recorded(options.tracking, contents.storage)
    rows, notes = overview(contents, recorded, trials=options.trials, sort=options.sort)
    columns = COLUMNS if recorded is None else (*COLUMNS, MLFLOW)
    if options.format == "table":
        rows = for_people(rows)
    print(written(rows, columns, options.format))
    _say(notes)
    return 0


def show(options: argparse.Namespace) -> int:
    """Prints what a run used and did."""
    from service.inspection.asking import recorded_of
    from service.inspection.description import described

    contents = look_into(options.storage)
    (place,) = _runs(contents.chosen([options.name]))
    recorded, untracked = recorded_of(place, options.tracking, contents.storage)
    lines = described(place, recorded, untracked, everything=options.all)
    if options.format == "json":
        print(json.dumps(lines, indent=2, ensure_ascii=False))
        return 0
    width = max(map(len, lines))
    for subject, texts in lines.items():
        for first, text in zip([True, *[False] * len(texts)], texts, strict=False):
            print(f"{subject if first else '':{width}}  {text}")
    return 0


def compare(options: argparse.Namespace) -> int:
    """Prints runs side by side."""
    from service.inspection.comparing import compared

    places = _runs(look_into(options.storage).chosen(dict.fromkeys(options.names)))
    if len(places) < 2:
        raise ConfigurationError("compare: one run alone is `show`; name two or more")
    rows = compared(places)
    print(written(rows, ["value", *(place.name for place in places)], options.format))
    return 0


def verify(options: argparse.Namespace) -> int:
    """Prints for each run whether it reached its recipe's figure, and if asked for, is whole."""
    from service.inspection.verifying import verify_checkpoints, verify_figures

    good = True
    for place in _runs(look_into(options.storage).chosen(dict.fromkeys(options.names))):
        verdicts = [verify_figures(place)]
        if options.checkpoints:
            verdicts += verify_checkpoints(place)
        for verdict in verdicts:
            good = good and verdict.good
            print(verdict.text, flush=True)
    return 0 if good else 1


def clean(options: argparse.Namespace) -> int:
    """Prints what can go, and lets it go if asked to."""
    from service.inspection.cleaning import driver_of, shares

    contents = look_into(options.storage)
    places = _with_trials(contents, options.names) if options.names else contents.places
    rules, notes = _rules(options, contents)
    notes += [line for line in map(driver_of, places) if line is not None]
    found = [share for share in shares(contents, places, rules) if share.leaving]
    if options.delete:
        status = _delete(contents, found, rules)
    else:
        for share in found:
            for one in share.leaving:
                print(f"{bytes_text(one.size):>8}  {one.path}  {one.why}")
        leaving = [one.size for share in found for one in share.leaving]
        ending = "; nothing is deleted without --delete" if leaving else ""
        print(f"{bytes_text(sum(leaving))} can go, files and folders: {len(leaving)}{ending}")
        status = 0
    _say([*notes, *contents.notes])
    return status


def _delete(contents: Contents, found: "list[Share]", rules: "Rules") -> int:
    """Deletes what can go; returns the exit status."""
    from service.inspection.cleaning import delete

    freed, status = 0, 0
    for share in found:
        try:
            for one, problem in delete(contents.storage, share, rules):
                if problem is None:
                    freed += one.size
                    print(f"{bytes_text(one.size):>8}  {one.path}  deleted", flush=True)
                else:
                    status = 1
                    print(f"error: {one.path}: {problem}", file=sys.stderr)
        except ConfigurationError as error:
            # A driver took the run meanwhile.
            _say([str(error)])
    print(f"{bytes_text(freed)} freed")
    return status


def _rules(options: argparse.Namespace, contents: Contents) -> "tuple[Rules, list[str]]":
    """Returns what decides, and a line for each thing that keeps it from being known."""
    from service.inspection.asking import everything_named
    from service.inspection.cleaning import Rules
    from service.inspection.references import References, texts_of

    unknown: list[str] = []
    texts = list(texts_of(contents, unknown))
    if not options.no_tracking:
        named, away = everything_named(contents, options.tracking)
        texts += named
        unknown += away
    notes = [f"{line}; so no checkpoint can go" for line in unknown]
    return Rules(None if unknown else References(texts), options.ended_early), notes


def _runs(places: Iterable[Place]) -> list[Place]:
    """Returns runs and trials.

    Raises:
        ConfigurationError: There is a sweep among them.
    """
    found = list(places)
    for place in found:
        if place.kind == "sweep":
            raise ConfigurationError(
                f"{place.name}: is a sweep; name its trials, such as {place.name}/trial_001"
            )
    return found


def _with_trials(contents: Contents, names: Iterable[str]) -> list[Place]:
    chosen = contents.chosen(dict.fromkeys(names))
    sweeps = {place.folder for place in chosen if place.kind == "sweep"}
    return [
        place
        for place in contents.places
        if place in chosen or (place.kind == "trial" and place.folder.parent in sweeps)
    ]


def _say(lines: Iterable[str]) -> None:
    """Tells people what is no part of the answer."""
    for line in lines:
        print(f"note: {line}", file=sys.stderr)
