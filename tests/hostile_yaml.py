"""Texts that readers of YAML, of numbers and of paths trip over, and what a refusal looks like."""

from collections.abc import Callable
from typing import TypeVar

from hypothesis import settings
from hypothesis import strategies as st

from service.config.errors import ConfigurationError

properties = settings(deadline=None, database=None, derandomize=True)
LONGEST = 2100  # characters of a line
T = TypeVar("T")

HOSTILE = [
    "!!python/object/apply:os.system ['touch canary']",
    "!!python/object:os.x {}",
    "!!python/name:os.system",
    "!!binary AAAA",
    "!!bool maybe",
    "!!float ''",
    "!!int ''",
    "!!int 0x" + "f" * 5000,
    "!!map [1, 2]",
    "!!map ab",
    "!!omap [a: 1]",
    "!!seq ab",
    "!!set {a, b}",
    "!!str [a]",
    "!!timestamp x",
    "${HOME}",
    "$(touch canary)",
    "{{ 7 * 7 }}",
    "%s{0.__class__}",
    "&a [*a]",
    "&a {x: *a}",
    "{<<: 5}",
    "{kind: [a]}",
    "{kind: {kind: {kind: x}}}",
    "{a: &b [x, x], c: [*b, *b]}",
    "[" * 400,
    "{a: " * 400,
    "[" * 60 + "]" * 60,
    "9" * 4301,
    "9" * 4000,
    "-" + "9" * 400,
    "1e999",
    "-1e999",
    "1e-999",
    ".nan",
    ".inf",
    "-.inf",
    "90ep\n",
    "９０ep",
    "1e300ep",
    "a\0b",
    "\\0",
    '"\\0"',
    '"\\ud800"',
    '"\\u2028\\x85"',
    "\u2028",
    "\ufeff1",
    "\udcff",
    "x: y: z",
    "a\n---\nb",
    "'",
    "#",
    "",
]
LAUGHS = (
    "[&a [x,x,x,x,x,x,x,x,x]"
    + "".join(
        f", &{name} [{','.join(['*' + of] * 9)}]"
        for of, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    + "]"
)
"""A few lines that stand for 9⁹ values."""

texts = st.one_of(
    st.sampled_from([*HOSTILE, LAUGHS]),
    st.text(max_size=12),
    st.integers().map(str),
    st.floats().map(repr),
    st.text("[]{}&*!:,-?|>%@`'\"# \n\ta1.~=<", max_size=16),
)


def lines_of(error: ConfigurationError) -> list[str]:
    """Returns the lines of a message, one for each problem, all of them fit to be shown."""
    lines = str(error).split("\n")
    assert all(lines)
    assert all(line.isprintable() and len(line) <= LONGEST for line in lines)
    return lines


def outcome(made: Callable[[], T]) -> T | list[str]:
    """Returns what a function makes, or the lines in which it refuses."""
    try:
        return made()
    except ConfigurationError as error:
        return lines_of(error)
