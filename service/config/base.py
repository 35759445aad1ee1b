"""What every configuration object shares."""

from collections.abc import Iterator
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from service.config.errors import SecretError
from service.config.redaction import holds_credentials

Probability = Annotated[float, Field(ge=0, le=1)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0)]
PositiveInt = Annotated[int, Field(ge=1)]
NonNegativeInt = Annotated[int, Field(ge=0)]


def _texts(value: object) -> Iterator[str]:
    """Yields the texts in a value of a field; sections check their own."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _texts([*value.keys(), *value.values()])
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


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

    @field_validator("*")
    @classmethod
    def _holds_no_credentials(cls, value: object) -> object:
        if any(map(holds_credentials, _texts(value))):
            # The configuration is kept in checkpoints and in MLflow, and is printed.
            raise SecretError(
                "holds a user name, password or token; give credentials in the environment, such "
                "as MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or AWS_ACCESS_KEY_ID "
                "and AWS_SECRET_ACCESS_KEY"
            )
        return value


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
