"""The load of a node's processor, memory, disk, network and GPUs."""

import logging
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from service.tracking.client import set_defaults
from service.tracking.journal import Journal

logger = logging.getLogger(__name__)


class _Monitor(Protocol):
    """MLflow's monitors, which carry no types."""

    def collect_metrics(self) -> None: ...

    def aggregate_metrics(self) -> dict[str, float]: ...

    def clear_metrics(self) -> None: ...


class SystemMetrics:
    """Samples a node's load into a journal of its own, one thread on each node.

    Metrics are named `system/<node>/<metric>`; they are delivered with the run's other journals.

    Args:
        path: The journal; see `system_journal`.
        node: Name of the node.
        every: Seconds between samples.
        step: Returns the current optimiser step; called in the thread.
    """

    def __init__(self, path: Path, node: str, every: float, step: Callable[[], int]) -> None:
        self._node = re.sub(r"[^\w.\-]", "_", node)
        self._journal = Journal(path)
        self._every = every
        self._step = step
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="system-metrics", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def close(self) -> None:
        """Stops the thread and closes the journal."""
        self._closing.set()
        # The first import of MLflow may be going on in the thread.
        self._thread.join(timeout=10)
        self._journal.close()

    def _run(self) -> None:
        """Samples until closed; a failure ends the samples, not the training."""
        # Until then the processors have better things to do than to import MLflow.
        if self._closing.wait(self._every):
            return
        try:
            monitors = _monitors()
            # The first reading of the processor's load has no interval to speak of.
            _sample(monitors)
            # What a GPU cannot tell was warned of in that sample; once is enough.
            logging.getLogger("mlflow.system_metrics.metrics.gpu_monitor").setLevel(logging.ERROR)
            pause = min(1.0, self._every)
            while not self._closing.wait(pause):
                pause = self._every
                metrics = _sample(monitors)
                named = {f"system/{self._node}/{name}": value for name, value in metrics.items()}
                self._journal.write_sample(self._step(), named)
        except Exception as error:
            logger.warning("no more samples of the load of %s: %r", self._node, error)


def _monitors() -> list[_Monitor]:
    """Returns MLflow's monitors, that of GPUs only where NVIDIA's driver answers."""
    set_defaults()
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
    from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
    from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

    always: list[type[_Monitor]] = [CPUMonitor, DiskMonitor, NetworkMonitor]
    where_possible: type[_Monitor] = GPUMonitor
    monitors = [kind() for kind in always]
    try:
        monitors.append(where_possible())
    except (RuntimeError, ImportError) as error:
        logger.debug("no GPU metrics: %s", error)
    return monitors


def _sample(monitors: list[_Monitor]) -> dict[str, float]:
    """Returns the load now."""
    sample: dict[str, float] = {}
    for monitor in monitors:
        monitor.collect_metrics()
        sample |= monitor.aggregate_metrics()
        monitor.clear_metrics()
    return sample
