"""What every configuration object shares."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

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
