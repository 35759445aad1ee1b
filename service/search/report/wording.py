"""Values and counts as text that fits into a cell or beside an axis."""

import functools
from collections import Counter
from collections.abc import Iterable, Sequence

from service.config.sweep import Value
from service.search.trials import Status, Trial

_STATUS_WORDS: dict[Status, str] = {
    "finished": "finished",
    "stopped": "stopped early",
    "running": "running",
    "failed": "failed",
}


def readable(value: Value) -> str:
    """Returns a value as YAML spells it, a number with four significant digits."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, float):
        return str(value)
    if value != 0 and not 1e-4 <= abs(value) < 1e6:
        mantissa, _, exponent = f"{value:.3e}".partition("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    decimals = max(0, 3 - _magnitude(value))
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if decimals else text


def _magnitude(value: float) -> int:
    return int(f"{value:e}".partition("e")[2])


def count(number: int, noun: str) -> str:
    """Returns a number with its noun: 1 trial, 2 trials."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def length(epochs: float) -> str:
    """Returns a stretch of training: 1 epoch, 0.5 epochs."""
    return f"{readable(float(epochs))} {'epoch' if epochs == 1 else 'epochs'}"


def summary(trials: Iterable[Trial]) -> str:
    """Returns how many trials there are and how they ended, in one line."""
    found = Counter(trial.status for trial in trials)
    kinds = [f"{found[status]} {word}" for status, word in _STATUS_WORDS.items() if found[status]]
    return f"{count(found.total(), 'trial')}: {', '.join(kinds)}" if kinds else "no trials"


def shortened(text: str, width: int) -> str:
    """Returns a text of at most `width` characters; a longer one loses its middle."""
    text = " ".join(text.split())
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return f"{text[: width - 1 - tail]}…{text[len(text) - tail :]}"


def labels(texts: Sequence[str], width: int) -> list[str]:
    """Returns short labels that tell the texts apart: those that would look alike get a number."""
    short = [drawable(shortened(text, width)) for text in texts]
    seen = Counter(short)
    return [
        f"{label} ({place})" if seen[label] > 1 else label for place, label in enumerate(short, 1)
    ]


def drawable(text: str) -> str:
    """Returns a text as matplotlib can draw it.

    A dollar sign would begin a formula, and a character that the font lacks would only warn.
    """
    known = _characters()
    spaced = " ".join(text.split())
    drawn = "".join(
        letter if ord(letter) in known else "\N{REPLACEMENT CHARACTER}" for letter in spaced
    )
    return drawn.replace("$", r"\$")


@functools.cache
def _characters() -> frozenset[int]:
    from matplotlib.font_manager import FontProperties, findfont, get_font

    return frozenset(get_font(findfont(FontProperties())).get_charmap())
