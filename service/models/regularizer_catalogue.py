"""The regularisers: their strengths, their levels, and the networks they are defined for."""

from dataclasses import dataclass
from typing import Literal, get_origin

from service.config.fields import describe
from service.config.regularizer import RegularizerConfig
from service.models.catalogue import networks
from service.models.families import design_of
from service.models.suitability import REGULARIZERS, accepted

# Fields that are neither strength nor choice: the name, and how a strength moves over a run.
_OTHER = ("kind", "ramp")


@dataclass(frozen=True)
class RegularizerEntry:
    """One regulariser of the catalogue."""

    kind: str
    """What `model.regularizer.kind` calls it."""
    summary: str
    """What it does and where it comes from, one sentence."""
    strengths: dict[str, str]
    """Default of each number and switch, by its path below `model.regularizer`."""
    choices: dict[str, tuple[str, str]]
    """Default and all values of each choice, such as `level`, by its name."""
    networks: tuple[str, ...]
    """Names of the networks that take it."""


def regularizer_entries() -> list[RegularizerEntry]:
    """Returns every regulariser, as the configuration declares it."""
    designs = [design_of(config) for config in networks()]
    kinds_of = {design.name: accepted(design) for design in designs}
    return [
        _entry(config, tuple(name for name, kinds in kinds_of.items() if config.kind in kinds))
        for config in REGULARIZERS
    ]


def regularizer_table() -> str:
    """Returns the regularisers as text: what each does, its strengths, choices and networks."""
    total = len(networks())
    lines: list[str] = []
    for entry in regularizer_entries():
        lines.append(f"{entry.kind}: {entry.summary}")
        if entry.strengths:
            given = ", ".join(f"{path}={value}" for path, value in entry.strengths.items())
            lines.append(f"  strengths  {given}")
        lines += [
            f"  {name:<9}  {default} ({values})"
            for name, (default, values) in entry.choices.items()
        ]
        every = len(entry.networks) == total
        lines.append(f"  networks   {'all' if every else ', '.join(entry.networks)}")
    lines.append(
        "null: alpha then follows the network, [-1, 1] where branches end the blocks and [0, 0] "
        "where a ReLU follows the addition."
    )
    return "\n".join(lines)


def _entry(config: RegularizerConfig, names: tuple[str, ...]) -> RegularizerEntry:
    choices = [
        name
        for name, field in type(config).model_fields.items()
        if get_origin(field.annotation) is Literal
    ]
    fields = [field for field in describe(config) if field.path.split(".")[0] not in _OTHER]
    return RegularizerEntry(
        kind=config.kind,
        summary=" ".join((config.__doc__ or "").split()),
        strengths={field.path: field.default for field in fields if field.path not in choices},
        choices={
            field.path: (field.default, field.type) for field in fields if field.path in choices
        },
        networks=names,
    )
