"""Comparisons that every trial of a sweep fulfils."""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

from service.config.errors import ConfigurationError

Operand: TypeAlias = str | float
"""A dotted path, or a number."""

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
_COMPARISON = re.compile(f"({'|'.join(_COMPARISONS)})")
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@dataclass(frozen=True)
class Constraint:
    """A comparison of two operands."""

    text: str
    """As it is written in the sweep."""
    left: Operand
    comparison: str
    """One of <, <=, >, >=, == and !=."""
    right: Operand

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads a comparison such as `model.regularizer.alpha.low <= 0.5`.

        Raises:
            ConfigurationError: It is not a comparison of two paths or numbers.
        """
        parts = [part.strip() for part in _COMPARISON.split(text)]
        operands = [_operand(part) for part in parts[::2]]
        match (operands, parts[1::2]):
            case ([str() | float() as left, str() | float() as right], [comparison]):
                return cls(text, left, comparison, right)
        chain = None not in operands and len(operands) > len(("left", "right"))
        hint = "; write a chain as two" if chain else ""
        raise ConfigurationError(
            f"sweep.constraints: {text!r} is not a comparison of two paths or numbers, such as "
            f"a.low <= a.high, by one of {' '.join(_COMPARISONS)}{hint}"
        )

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths among the operands."""
        return tuple(side for side in (self.left, self.right) if isinstance(side, str))

    def holds(self, value_at: Callable[[str], object]) -> bool:
        """Returns whether the comparison holds; it does where an operand has no value.

        Args:
            value_at: Gives the value at a path, None where there is none.

        Raises:
            ConfigurationError: What is compared has no order, such as a text and a number.
        """
        left, right = (
            value_at(side) if isinstance(side, str) else side for side in (self.left, self.right)
        )
        if left is None or right is None:
            return True
        for value in (left, right):
            if self.comparison not in ("==", "!=") and not isinstance(value, int | float):
                raise ConfigurationError(
                    f"sweep.constraints: {self.text!r} compares {str(value)!r}, which is no number"
                )
        return _COMPARISONS[self.comparison](left, right)


def _operand(text: str) -> Operand | None:
    if _NUMBER.fullmatch(text):
        return float(text)
    return text if _PATH.fullmatch(text) else None
