"""COCO annotation files: JSON to typed columns."""

import gc
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.config.errors import ConfigurationError

EXAMPLES = 3
"""How many cases a message shows."""

Row = dict[str, Any]
_MISSING = object()


@dataclass(frozen=True)
class Table:
    """One of the lists in an annotation file."""

    file: Path
    """The annotation file."""
    name: str
    """Its key in the file."""
    rows: list[Row]
    """What it holds."""
    entries: NDArray[np.int64] | None = None
    """Where each row stands in the file, where that is another place than here."""

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, key: str, kinds: tuple[type, ...], default: object = _MISSING) -> list[Any]:
        """Returns one value of each row.

        Args:
            key: Its key.
            kinds: Types it may have; a truth value is no whole number.
            default: What stands for a missing value; without one it may not be missing.

        Raises:
            ConfigurationError: A value is missing or of another type.
        """
        values = [row.get(key, default) for row in self.rows]
        if set(map(type, values)) <= {*kinds, type(default)} - {object}:
            return values
        missing = [place for place, value in enumerate(values) if value is _MISSING]
        if missing:
            raise self.error(f"{key!r} is missing in {self.cases(missing)}")
        wrong = [place for place, value in enumerate(values) if type(value) not in kinds]
        names = " or ".join(_JSON_NAMES[kind] for kind in kinds)
        raise self.error(
            f"{key!r} must be {names}; {self.cases(wrong)} has {shortened(values[wrong[0]])}"
            if len(wrong) == 1
            else f"{key!r} must be {names}; it is not in {self.cases(wrong)}"
        )

    def integers(self, key: str, default: object = _MISSING) -> NDArray[np.int64]:
        """Returns a column of whole numbers, (n,); raises ConfigurationError like `column`."""
        try:
            return np.array(self.column(key, (int,), default), np.int64)
        except OverflowError as error:
            raise self.error(f"{key!r} has a number that does not fit 64 bits") from error

    def cases(self, places: Sequence[int] | NDArray[np.int64]) -> str:
        """Returns how many rows, and the first few of them by their ids, for a message."""
        found = [self._case(place) for place in list(places)[:EXAMPLES]]
        if len(places) == 1:
            return found[0]
        more = ", …" if len(places) > EXAMPLES else ""
        return f"{len(places)} of {len(self)} entries ({', '.join(found)}{more})"

    def error(self, message: str) -> ConfigurationError:
        """Returns an error that names the file and the list."""
        return ConfigurationError(f"{self.file}: {self.name}: {message}")

    def sorted(self, order: NDArray[np.int64]) -> "Table":
        """Returns the table with its rows in another order."""
        return Table(self.file, self.name, [self.rows[place] for place in order.tolist()], order)

    def _case(self, place: int) -> str:
        entry = place if self.entries is None else self.entries[place]
        own = self.rows[place].get("id")
        return f"entry {entry} with id {own}" if type(own) is int else f"entry {entry}"


_JSON_NAMES = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    list: "a list",
    dict: "an object",
}


@dataclass(frozen=True)
class Document:
    """An annotation file."""

    digest: str
    """32 hexadecimal digits of its bytes."""
    images: Table
    """The pictures."""
    annotations: Table
    """What is in them."""
    categories: Table
    """The kinds of objects."""


def read_document(file: Path) -> Document:
    """Reads an annotation file.

    Raises:
        ConfigurationError: It cannot be read, is no JSON (truncated, for one), or is not laid out
            as COCO has it.
    """
    try:
        content = file.read_bytes()
        document = json.loads(content)
    except OSError as error:
        raise ConfigurationError(f"{file}: cannot be read ({error.strerror})") from error
    except RecursionError as error:
        raise ConfigurationError(f"{file}: its JSON is nested too deeply") from error
    except ValueError as error:
        raise ConfigurationError(
            f"{file}: not a whole JSON file ({error}); fetch or export it again"
        ) from error
    digest = hashlib.blake2b(content, digest_size=16).hexdigest()
    if not isinstance(document, dict):
        raise ConfigurationError(
            f"{file}: must hold an object with images, annotations, categories"
        )
    return Document(
        digest,
        *(_table(file, document, name) for name in ("images", "annotations", "categories")),
    )


def shortened(value: object) -> str:
    """Returns a value as JSON has it, cut to a length that fits a message."""
    try:
        text = json.dumps(value)
    except RecursionError:
        return "something nested deeply"
    return text if len(text) <= 40 else f"{text[:37]}..."


def flat_numbers(lists: Iterable[Sequence[Any]]) -> NDArray[np.float64]:
    """Returns the numbers of many lists, one after the other.

    Raises:
        TypeError: Something is no number.
        ValueError: A number is not finite.
    """
    values = [value for numbers in lists for value in numbers]
    if not set(map(type, values)) <= {int, float}:
        raise TypeError("not numbers only")
    try:
        numbers = np.array(values, np.float64)
    except OverflowError as error:
        raise ValueError("a number is too large") from error
    if not np.isfinite(numbers).all():
        raise ValueError("a number is not finite")
    return numbers


def _table(file: Path, document: Row, name: str) -> Table:
    rows = document.get(name)
    if not isinstance(rows, list):
        what = "must be a list" if name in document else "is missing"
        raise ConfigurationError(f"{file}: {name!r} {what}; COCO instances files have it")
    if not set(map(type, rows)) <= {dict}:
        raise ConfigurationError(f"{file}: {name}: must hold objects only")
    return Table(file, name, rows)


@contextmanager
def without_collection() -> Iterator[None]:
    """Keeps Python's collector from walking a document's millions of objects over and over."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
