"""Starting weights that the driver fetched, on the workers' machines.

Where all machines see the storage folder they are there. In an object store they lie below it, and
each machine brings its own copy.
"""

from pathlib import Path

from service.config.errors import ConfigurationError
from service.config.run import RunConfig
from service.storage.working_copy import bring_all, publish_all


def carry(weights: Path) -> None:
    """Puts weights that lie in a copy of an object store where all machines find them.

    Raises:
        ConfigurationError: The store does not take them.
    """
    try:
        publish_all(weights)
    except OSError as error:
        raise ConfigurationError(f"model.weights: {error}") from error


def at_hand(config: RunConfig, drivers: Path, own: Path) -> RunConfig:
    """Returns a configuration whose weights lie on this machine.

    Args:
        config: The configuration as the driver has it.
        drivers: The driver's folder of all runs.
        own: This machine's.

    Raises:
        OSError: They cannot be brought here.
    """
    weights = getattr(config.model, "weights", None)
    if weights is None or not Path(weights).is_relative_to(drivers):
        return config
    here = own / Path(weights).relative_to(drivers)
    bring_all(here)
    model = config.model.model_copy(update={"weights": str(here)})
    return config.model_copy(update={"model": model})
