"""Room for the missing workers of an elastic run: what to save before Ray starts them all again."""

import time

import ray

_LOOK_SECONDS = 5.0
_SAVE_SECONDS = 30.0
_TICK_SECONDS = 20.0
"""After so long at the latest Ray knows of a new node."""


class Growth:
    """Watches for new nodes while workers are missing.

    Ray tells nobody that it will start a run again with more workers. It does so soon after a node
    has come, if it comes at all.

    Args:
        resize_interval: Seconds between Ray's looks at whether the run can grow.
    """

    def __init__(self, resize_interval: float) -> None:
        self._soon = _TICK_SECONDS + 1.5 * resize_interval
        self._known = _nodes()
        self._looked_at = time.monotonic()
        self._come_at = self._asked_at = -float("inf")

    def save_requested(self) -> bool:
        """Tells whether a checkpoint is wanted: when a node comes, and some more times soon after.

        Without a new node it costs nothing, but for a question to the cluster every few seconds.
        """
        now = time.monotonic()
        if now - self._looked_at >= _LOOK_SECONDS:
            self._looked_at, nodes = now, _nodes()
            if nodes - self._known:
                self._come_at, self._asked_at = now, -float("inf")
            self._known = nodes
        if now - self._come_at > self._soon or now - self._asked_at < _SAVE_SECONDS:
            return False
        self._asked_at = now
        return True


def _nodes() -> set[str]:
    nodes = ray.nodes()  # type: ignore[no-untyped-call]  # ray's
    return {str(node["NodeID"]) for node in nodes if node["Alive"]}
