"""What a report needs to know of a sweep."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from service.config.sweep import Distribution
from service.search.report.wording import count, drawable, length, shortened
from service.search.trials import Mode

_PERCENT = re.compile(r"(^|[/_])top\d+$")  # val/top1, val/ema_top5


@dataclass(frozen=True)
class SweepDescription:
    """The sweep that a report is about."""

    title: str
    """Heading of every picture."""
    metric: str
    """What is improved, such as val/top1."""
    mode: Mode
    """Whether a larger or a smaller metric is better."""
    space: Mapping[str, Distribution]
    """What is searched: the dotted path of a field, and what it is drawn from."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Short names of paths, such as P_L; a path without one is written out."""
    workers: int | None = None
    """Workers of each trial."""
    epochs: float | None = None
    """Epochs of a trial that nothing stops; None where the trials differ."""
    objectives: Literal["metric", "metric_and_time"] = "metric"
    """What is improved: the metric, or the metric and the time of training together."""

    def name(self, path: str) -> str:
        """Returns the short name of a searched field."""
        return self.names.get(path, path)

    def drawn_name(self, path: str, width: int) -> str:
        """Returns the short name as a picture shows it, in at most so many characters."""
        return drawable(shortened(self.name(path), width))

    @property
    def unit(self) -> str:
        """The metric's unit, to be put behind a number; empty where it is not known."""
        return " %" if _PERCENT.search(self.metric) else ""

    def label(self, text: str) -> str:
        """Returns a text about the metric with its unit: best val/top1, %."""
        return f"{text},{self.unit}" if self.unit else text

    @property
    def facts(self) -> list[str]:
        """What else a reader should know: the full length, the workers."""
        known = [] if self.epochs is None else [f"full length {length(self.epochs)}"]
        return known if self.workers is None else [*known, f"{count(self.workers, 'worker')} each"]

    @property
    def better(self) -> str:
        """Which way the metric improves, in words."""
        return "more is better" if self.mode == "max" else "less is better"
