"""A search over values of the configuration: space, proposals, early stopping, budget."""

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from service.config.base import Config, NonNegativeInt, PositiveFloat, PositiveInt

Value: TypeAlias = bool | int | float | str | None
"""A value of a field that a search may change."""


class DistributionConfig(Config):
    """What all distributions share."""

    when: dict[str, tuple[Value, ...]] = Field(default_factory=dict)
    """Draw only where each of these fields has one of its values; elsewhere the recipe decides."""


class ChoiceConfig(DistributionConfig):
    """One of a few values, each as likely as the others."""

    kind: Literal["choice"] = "choice"
    """The distribution."""
    values: Annotated[tuple[Value, ...], Field(min_length=1)]
    """The values."""


class IntervalConfig(DistributionConfig):
    """What the distributions between two numbers share."""

    points: Annotated[int, Field(ge=2)] | None = None
    """Only so many values, evenly spaced from `low` to `high`; null for all between. A grid needs
    it."""

    low: float
    """Lower end, included."""
    high: float
    """Upper end, included."""

    @model_validator(mode="after")
    def _has_room(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low must be below high (got low {self.low}, high {self.high})")
        return self


class UniformConfig(IntervalConfig):
    """A number between two ends, each as likely as the others."""

    kind: Literal["uniform"] = "uniform"
    """The distribution."""


class LogUniformConfig(IntervalConfig):
    """A positive number between two ends, each order of magnitude as likely as the others."""

    kind: Literal["log_uniform"] = "log_uniform"
    """The distribution."""
    low: PositiveFloat
    """Lower end, included."""


class IntegerConfig(DistributionConfig):
    """A whole number between two ends."""

    kind: Literal["integer"] = "integer"
    """The distribution."""
    low: int
    """Lower end, included."""
    high: int
    """Upper end, included."""

    @model_validator(mode="after")
    def _has_room(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low must be below high (got low {self.low}, high {self.high})")
        return self


Distribution = Annotated[
    ChoiceConfig | UniformConfig | LogUniformConfig | IntegerConfig, Field(discriminator="kind")
]


class GridSearchConfig(Config):
    """Every combination of the values; shuffled, where trials may be stopped early."""

    kind: Literal["grid"] = "grid"
    """Who proposes the trials."""


class RandomSearchConfig(Config):
    """Independent draws."""

    kind: Literal["random"] = "random"
    """Who proposes the trials."""
    seed: NonNegativeInt = 0
    """Seed of the draws."""


class TPESearchConfig(Config):
    """Tree-structured Parzen estimator (Bergstra et al. 2011), Optuna's."""

    kind: Literal["tpe"] = "tpe"
    """Who proposes the trials."""
    start_trials: PositiveInt = 10
    """Trials that are drawn at random before the first that learns from the others."""
    objectives: Literal["metric", "metric_and_time"] = "metric"
    """What is improved: the metric, or the metric and the time of training together."""
    seed: NonNegativeInt = 0
    """Seed of the draws."""


SearchConfig = Annotated[
    GridSearchConfig | RandomSearchConfig | TPESearchConfig, Field(discriminator="kind")
]


class NoSchedulerConfig(Config):
    """Every trial runs to its end."""

    kind: Literal["none"] = "none"
    """Who stops trials early."""


class ASHAConfig(Config):
    """Asynchronous successive halving (arXiv 1810.05934)."""

    kind: Literal["asha"] = "asha"
    """Who stops trials early."""
    grace: PositiveFloat = 1.0
    """Epochs that every trial gets: the first rung."""
    reduction: Annotated[float, Field(gt=1)] = 3.0
    """At each rung the best trial in so many goes on; a rung is so many times as long as the one
    before."""


class MedianStoppingConfig(Config):
    """Stops a trial whose best value is worse than the median of the others' means so far."""

    kind: Literal["median"] = "median"
    """Who stops trials early."""
    grace: PositiveFloat = 1.0
    """Epochs that every trial gets."""
    min_trials: PositiveInt = 3
    """Trials that the median needs."""


class PopulationConfig(Config):
    """Population based training (arXiv 1711.09846): the worst trials go on from the best ones."""

    kind: Literal["pbt"] = "pbt"
    """Who changes trials early."""
    every: PositiveFloat = 1.0
    """Epochs between the moments at which a trial may be replaced."""
    quantile: Annotated[float, Field(gt=0, le=0.5)] = 0.25
    """Share of the population that counts as worst, and as best."""
    resample: Annotated[float, Field(ge=0, le=1)] = 0.25
    """Probability that a value is drawn anew; otherwise it is multiplied by one of `factors`, or,
    for a choice, moves to a neighbour."""
    factors: tuple[PositiveFloat, PositiveFloat] = (1.2, 0.8)
    """What a value is multiplied by, one of the two."""
    seed: NonNegativeInt = 0
    """Seed of the changes."""


SchedulerConfig = Annotated[
    NoSchedulerConfig | ASHAConfig | MedianStoppingConfig | PopulationConfig,
    Field(discriminator="kind"),
]


class BudgetConfig(Config):
    """What the whole search may cost; at its end running trials are stopped."""

    hours: PositiveFloat | None = None
    """Hours of wall-clock time; null for no bound."""
    epochs: PositiveFloat | None = None
    """Epochs over all trials; null for no bound."""


class SweepConfig(Config):
    """The search."""

    pipeline: Literal["imagenet", "cifar", "coco"] = "cifar"
    """Pipeline whose recipe the rest of the file is."""
    space: dict[str, Distribution] = Field(default_factory=dict)
    """What is searched: the dotted path of a field, and what it is drawn from."""
    constraints: tuple[str, ...] = ()
    """Comparisons that every trial fulfils, such as `a.low <= a.high`, of paths and numbers. What
    the configuration refuses is never proposed anyway."""
    search: SearchConfig = GridSearchConfig()
    """Who proposes the trials."""
    scheduler: SchedulerConfig = NoSchedulerConfig()
    """Who stops trials early."""
    trials: Literal["auto"] | PositiveInt = "auto"
    """Trials in all; auto takes all of a grid."""
    metric: str = "val/top1"
    """What is improved."""
    mode: Literal["max", "min"] = "max"
    """Whether a larger or a smaller metric is better."""
    budget: BudgetConfig = BudgetConfig()
    """What the whole search may cost."""
    concurrent_trials: Literal["auto"] | PositiveInt = "auto"
    """Trials at the same time; auto takes as many as the cluster fits."""
    keep: PositiveInt = 3
    """Leading trials whose checkpoints are kept."""
