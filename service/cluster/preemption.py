"""Ray's notice that a node will be taken away: what to save before, and how often."""

import time
from collections.abc import Callable

import ray.train
from ray.train import PreemptionInfo

_EVERY_SECONDS = 30.0


class Preemption:
    """Watches for notices. All workers of a run ask at the same steps, and get the same answer.

    Ray learns of it where the cloud's notice drains the node, and starts the workers again on what
    is left once the node's time is over.

    Args:
        warn: Shows a line to the person who started the run.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._nodes: list[str] = []
        self._asked_at = 0.0

    def save_requested(self) -> bool:
        """Tells whether a checkpoint is wanted: at a notice, and now and then until the end."""
        notice: PreemptionInfo | None = ray.train.get_preemption_info()
        if notice is None:
            return False
        now = time.monotonic()
        if notice.preempted_node_ids != self._nodes:
            self._nodes = notice.preempted_node_ids
            self._warn(_told(notice))
        elif now - self._asked_at < _EVERY_SECONDS:
            return False
        self._asked_at = now
        return True


def _told(notice: PreemptionInfo) -> str:
    nodes, ranks = notice.preempted_node_ids, notice.preempted_ranks
    when = "soon"
    if notice.deadline_ms is not None:
        when = f"in {max(0.0, notice.deadline_ms / 1000 - time.time()):.0f} s"
    return (
        f"{len(nodes)} node{'s' * (len(nodes) != 1)} with worker{'s' * (len(ranks) != 1)} "
        f"{', '.join(map(str, ranks))} will be taken away {when}: a checkpoint is saved now and "
        f"every {_EVERY_SECONDS:g} s; then the workers start again on the other nodes"
    )
