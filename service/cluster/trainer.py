"""Ray Train's trainer without the helpers that a run of ours does not use.

Ray starts a process for each of them, and a process of Ray's costs one to two seconds of computing
before the first step. What is left out here is not part of Ray's public interface: should it go by
another name one day, runs only start later.
"""

from typing import Any

from ray.train import Result

# The second generation's: under its usual name Ray has the first.
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

from service.cluster.devices import ask_nobody

_DATA = "DatasetsCallback"
"""Hands out data of Ray's; ours comes from the task."""
_LEFT_OVER = "PlacementGroupCleanerCallback"
"""Frees the workers' place should their controller be killed. A cluster that ends with the run
needs no cleaning."""

_FIXED = "FixedScalingPolicy"
"""Asks an autoscaler for the machines of a fixed number of workers, again and again."""
_WISHES = ("after_controller_start", "_maybe_send_resource_request")
"""Where it does so."""


class Trainer(DataParallelTrainer):
    """Starts workers and watches over them.

    Args:
        lone: Whether the cluster was started for this run, and ends with it.
        options: What Ray's trainer takes.
    """

    def __init__(self, *arguments: Any, lone: bool, **options: Any) -> None:  # noqa: ANN401  # Ray's
        super().__init__(*arguments, **options)
        self._lone = lone

    def _initialize_and_run_controller(self, **parts: Any) -> Result:  # noqa: ANN401  # not public
        unused = {_DATA, _LEFT_OVER} if self._lone else {_DATA}
        parts["callbacks"] = [
            callback for callback in parts["callbacks"] if type(callback).__name__ not in unused
        ]
        policy = parts["scaling_policy"]
        if self._lone and type(policy).__name__ == _FIXED:
            for wish in _WISHES:
                setattr(policy, wish, ask_nobody)
        return super()._initialize_and_run_controller(**parts)
