"""The precision that `training.precision: auto` becomes: decided once, before workers start.

So it is in the run's configuration, its checkpoints and MLflow, and the same on every worker.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from service.cluster.console import announce
from service.config.loading import read_mapping
from service.config.run import RunConfig
from service.training.precision import decided, multiplies_bf16

C = TypeVar("C", bound=RunConfig)


def with_begun_precision(config: C, begun: Path) -> C:
    """Returns the configuration with the precision that a run began with, where it has `auto`.

    A run that is resumed on another machine keeps its arithmetic, unless told otherwise by name.

    Args:
        config: The configuration with which it goes on.
        begun: The file of the one it began with; none for a new run.

    Raises:
        ConfigurationError: The file cannot be read.
    """
    if config.training.precision != "auto" or not begun.is_file():
        return config
    training = read_mapping(begun).get("training", {})
    kept = {name: training[name] for name in ("precision", "channels_last") if name in training}
    return config.model_copy(update={"training": config.training.model_copy(update=kept)})


def with_precision(config: C, *, nodes: int, on_gpu: bool) -> C:
    """Returns the configuration with what `auto` is on the machines that are there.

    Args:
        config: The configuration.
        nodes: Machines of the cluster that this process has joined; 1 is this one.
        on_gpu: Whether workers have GPUs.

    Raises:
        ConfigurationError: The machines differ.
    """
    if config.training.precision != "auto":
        return config
    machines = {"here": multiplies_bf16(on_gpu=on_gpu)} if nodes == 1 else _asked(on_gpu)
    training = decided(config.training, machines)
    order = "channels_last" if training.channels_last else "plain"
    announce(f"training.precision: auto is {training.precision}, in {order} memory order")
    return config.model_copy(update={"training": training})


def _asked(on_gpu: bool) -> Mapping[str, bool]:
    """Asks each machine that may get workers, by its address."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    @ray.remote(num_cpus=0)
    def asked() -> bool:
        return multiplies_bf16(on_gpu=on_gpu)

    nodes = ray.nodes()  # type: ignore[no-untyped-call]  # ray's
    answers = {
        str(node["NodeManagerAddress"]): asked.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote()
        for node in nodes
        if node["Alive"] and node["Resources"].get("GPU" if on_gpu else "CPU")
    }
    return {name: ray.get(answer) for name, answer in answers.items()}
