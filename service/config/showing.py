"""Values and texts as messages show them: in one line, and of a large one only the beginning."""

import reprlib

from service.config.redaction import redact

_MOST = 200  # characters

_short = reprlib.Repr()
_short.maxlevel = 4
_short.maxdict = _short.maxlist = _short.maxtuple = _short.maxset = _short.maxfrozenset = 20
_short.maxstring = _short.maxlong = _short.maxother = _MOST


def shown(value: object) -> str:
    """Returns a value as Python writes it, cut where it is long or deep."""
    # Before it is cut: half an address does not show where its password ends.
    return one_line(_short.repr(redact(value) if isinstance(value, str) else value))


def one_line(text: object, most: int = 2 * _MOST) -> str:
    """Returns a text with what cannot be printed escaped.

    Args:
        text: A text or a path.
        most: Characters above which only the beginning is returned.
    """
    whole = redact(str(text))
    cut = whole if len(whole) <= most else f"{whole[:most]}..."
    return cut if cut.isprintable() else repr(cut)[1:-1]


def is_unicode(text: str) -> bool:
    """Returns whether a text can be written anywhere: JSON can name half a character."""
    return not any("\ud800" <= character <= "\udfff" for character in text)
