"""MLflow itself, as its own documentation logs with it: the peer of `step_logging`."""

from collections.abc import Callable, Mapping

import mlflow
from mlflow.tracking import MlflowClient


class AsynchronousLogging:
    """A run that MLflow's asynchronous logging records.

    Args:
        uri: Address of the server.
        experiment: Name of an experiment.
    """

    def __init__(self, uri: str, experiment: str) -> None:
        mlflow.set_tracking_uri(uri)
        mlflow.set_experiment(experiment)
        mlflow.config.enable_async_logging()  # type: ignore[no-untyped-call]  # mlflow's
        self.run_id: str = mlflow.start_run().info.run_id

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Hands metrics of a step over."""
        mlflow.log_metrics(dict(metrics), step=step)

    def close(self) -> None:
        """Returns once everything is on the server."""
        mlflow.flush_async_logging()
        mlflow.end_run()


def history(uri: str, run_id: str) -> Callable[[str], list[tuple[int, float]]]:
    """Returns what tells steps and values of a run's metric by its name."""
    client = MlflowClient(uri)

    def points(name: str) -> list[tuple[int, float]]:
        found = client.get_metric_history(run_id, name)
        return sorted((point.step, point.value) for point in found)

    return points
