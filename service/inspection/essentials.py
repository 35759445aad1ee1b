"""The few values of a configuration that a list of runs needs, read in a tenth of the time."""

from dataclasses import dataclass

import yaml

from service.cluster.runs import CONFIG
from service.config.durations import Duration, parse_duration
from service.config.errors import ConfigurationError
from service.config.showing import one_line
from service.inspection.folders import SWEEP_FILE, Place
from service.inspection.ledgers import Mode

_LARGEST_FILE = 1 << 20
_SECTION = {"run": "checkpoint", "trial": "checkpoint", "sweep": "sweep"}


@dataclass(frozen=True)
class Essentials:
    """What a list needs of a configuration."""

    metric: str
    """The metric of the best checkpoints."""
    mode: Mode
    """Whether a larger or a smaller one is better."""
    keep: int
    """Best checkpoints that are kept."""
    length: Duration
    """Full length of the run, or of each trial."""


def essentials(place: Place) -> Essentials:
    """Reads what a list needs of a run's configuration.

    Raises:
        ConfigurationError: The file is missing or damaged.
    """
    file = place.folder / (SWEEP_FILE if place.kind == "sweep" else CONFIG)
    try:
        with file.open("rb") as opened:
            text = opened.read(_LARGEST_FILE)
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        tree = yaml.load(text, Loader=loader)  # noqa: S506  # both are safe
        kept = tree[_SECTION[place.kind]]
        length = parse_duration(tree["training"]["duration"])
        found = Essentials(str(kept["metric"]), kept["mode"], int(kept["keep"]), length)
    except OSError as error:
        raise ConfigurationError(f"{one_line(file)}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigurationError(
            f"{one_line(file)}: damaged, or of another program ({type(error).__name__})"
        ) from error
    if found.mode not in ("max", "min"):
        raise ConfigurationError(f"{one_line(file)}: mode is neither max nor min")
    return found
