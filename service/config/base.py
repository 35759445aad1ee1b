"""What every configuration object shares."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

Probability = Annotated[float, Field(ge=0, le=1)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0)]
PositiveInt = Annotated[int, Field(ge=1)]
NonNegativeInt = Annotated[int, Field(ge=0)]


class Config(BaseModel):
    """A frozen, documented part of the configuration; unknown fields are errors."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        protected_namespaces=(),
        # `name=2024` on a command line is a name, though YAML reads a number.
        coerce_numbers_to_str=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _truth_is_no_number(cls, values: object) -> object:
        # YAML reads `yes` as true, which pydantic would take for the number 1.
        given = values if isinstance(values, dict) else {}
        for name, field in cls.model_fields.items():
            if isinstance(given.get(name), bool) and field.annotation is not bool:
                raise PydanticCustomError("truth_value", "true or false", {"name": name})
        return values


class Range(Config):
    """A closed interval [low, high]."""

    low: float
    """Lower end."""
    high: float
    """Upper end, at least `low`."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low must not exceed high (got low {self.low}, high {self.high})")
        return self
