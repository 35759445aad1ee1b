"""What became of the tensors of a detector and of the file it starts from, part by part."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from service.detection.backbone import BODY

_KINDS = ("matched", "missing", "unexpected", "reinitialised")
_NAMED = 3
"""Keys that the table names of those that did not match."""
# The first that fits a key names its part.
_PARTS = (
    (rf"{re.escape(BODY)}fc\.", "classifier"),
    (rf"{re.escape(BODY)}(layer\d+)\.", r"\1"),
    (rf"{re.escape(BODY)}last_", "tail"),
    (rf"{re.escape(BODY)}", "stem"),
    (r"backbone\.", "pyramid"),
    (r"rpn\.", "rpn"),
    (r"roi_heads\.(box|mask)_", r"\1 head"),
    (r"head\.(classification|regression)_head\.", r"\1 head"),
    (r"", "other"),
)


@dataclass(frozen=True)
class PartReport:
    """One part of a detector; all keys are as the detector has them."""

    name: str
    """Such as stem, layer1, pyramid, rpn, box head."""
    matched: tuple[str, ...] = ()
    """The detector took the file's values."""
    missing: tuple[str, ...] = ()
    """The file lacks them; the detector keeps its values."""
    unexpected: tuple[str, ...] = ()
    """The detector lacks them; they were ignored."""
    reinitialised: tuple[str, ...] = ()
    """The layer has another size or other tensors in the file; the detector keeps its values."""


@dataclass(frozen=True)
class DetectorLoadReport:
    """The parts of a detector, in the order of its tensors; as text, a table for people."""

    parts: tuple[PartReport, ...]

    def __getitem__(self, name: str) -> PartReport:
        """Returns a part; raises KeyError where there is none of that name."""
        for part in self.parts:
            if part.name == name:
                return part
        raise KeyError(name)

    def __str__(self) -> str:
        names = [part.name for part in self.parts]
        width = max(len(name) for name in ["part", *names])
        rows = ["  ".join(["part".ljust(width), *_KINDS])]
        for part in self.parts:
            counts = [str(len(getattr(part, kind))).rjust(len(kind)) for kind in _KINDS]
            rows.append("  ".join([part.name.ljust(width), *counts]))
        for part in self.parts:
            rows += [
                f"{part.name}, {kind}: {_shortened(getattr(part, kind))}"
                for kind in _KINDS[1:]
                if getattr(part, kind)
            ]
        return "\n".join(rows)


def by_part(
    matched: Sequence[str],
    missing: Sequence[str],
    unexpected: Sequence[str],
    reinitialised: Sequence[str],
) -> DetectorLoadReport:
    """Returns the report on keys, each of which is of one of the four kinds."""
    parts: dict[str, dict[str, list[str]]] = {}
    kinds = dict(zip(_KINDS, (matched, missing, unexpected, reinitialised), strict=True))
    for kind, keys in kinds.items():
        for key in keys:
            parts.setdefault(_part(key), {}).setdefault(kind, []).append(key)
    return DetectorLoadReport(
        tuple(
            PartReport(name, **{kind: tuple(keys) for kind, keys in found.items()})
            for name, found in sorted(parts.items(), key=lambda item: _place(item[0]))
        )
    )


def _part(key: str) -> str:
    for pattern, name in _PARTS:
        found = re.match(pattern, key)
        if found:
            return found.expand(name)
    raise AssertionError("the last pattern fits every key")


def _place(name: str) -> tuple[int, str]:
    """Returns where a part stands: as the data flow, what a detector lacks at the end."""
    order = ["stem", "layer", "tail", "pyramid", "rpn", "box", "mask", "class", "regress"]
    if name in ("classifier", "other"):
        return len(order), name
    return next(index for index, start in enumerate(order) if name.startswith(start)), name


def _shortened(keys: Sequence[str]) -> str:
    more = len(keys) - _NAMED
    return ", ".join(keys[:_NAMED]) + (f", … ({more} more)" if more > 0 else "")
