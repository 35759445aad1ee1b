"""Checks of the regularisers' arguments."""


def checked_probability(name: str, value: float) -> float:
    """Returns the value if it lies in [0, 1].

    Raises:
        ValueError: It does not; the message names the argument.
    """
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is a probability, in [0, 1] (got {value})")
    return float(value)


def checked_choice(name: str, value: str, choices: tuple[str, ...]) -> str:
    """Returns the value if it is one of the choices.

    Raises:
        ValueError: It is not; the message names the argument and the choices.
    """
    if value not in choices:
        raise ValueError(f"{name} is one of {', '.join(choices)} (got {value!r})")
    return value
