"""Waiting for the nodes that an autoscaler has to start for a run.

They are asked for with a placement group of the workers' size, as Ray's own libraries ask: it adds
to what others ask for, and it is gone with this process, whatever ends it. A request by Ray's
`request_resources` would replace those of others, and would outlive a killed driver, whose nodes
nobody would give back.
"""

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from service.cluster.console import announce
from service.cluster.resources import Node, Plan, TooLittleError, TrialPlan
from service.cluster.session import Cluster, living_nodes
from service.config.errors import ConfigurationError
from service.config.training import ClusterConfig
from service.data.progress import duration_text

P = TypeVar("P", Plan, TrialPlan)

_LOOK_SECONDS = 2.0
_TELL_SECONDS = 30.0


def planned(
    config: ClusterConfig,
    cluster: Cluster,
    plan: Callable[[Sequence[Node]], P],
    check: Callable[[], object],
) -> P:
    """Returns the plan for the nodes that are there, or for those that come within the wait.

    Args:
        config: How long to wait.
        cluster: What this process is connected to.
        plan: Makes the plan for some nodes, or raises `TooLittleError`.
        check: Called before a wait; raises what several nodes would be refused for in the end.

    Raises:
        ConfigurationError: The nodes hold too little, and no others came in time.
    """
    try:
        return plan(cluster.nodes)
    except TooLittleError as shortage:
        if cluster.ours:
            raise
        if config.wait_for_nodes is None:
            raise ConfigurationError(
                f"{shortage}, or wait for an autoscaler's nodes with cluster.wait_for_nodes=900"
            ) from None
        check()
        return _wait(config.wait_for_nodes, plan, shortage)


def _wait(seconds: float, plan: Callable[[Sequence[Node]], P], shortage: TooLittleError) -> P:
    began = told = time.monotonic()
    announce(
        f"waiting up to {duration_text(seconds)} for nodes with room for {_need(shortage)}; the "
        f"cluster has {shortage.has}"
    )
    wish = _Wish(shortage)
    try:
        while True:
            now = time.monotonic()
            try:
                found = plan(living_nodes())
            except TooLittleError as error:
                shortage = error
            else:
                announce(f"the nodes are there after {duration_text(now - began)}")
                return found
            if now - began >= seconds:
                raise ConfigurationError(
                    f"{shortage}; not enough came in the {duration_text(seconds)} of "
                    "cluster.wait_for_nodes"
                )
            if now - told >= _TELL_SECONDS:
                told = now
                announce(
                    f"still waiting for nodes after {duration_text(now - began)}: the cluster has "
                    f"{shortage.has}"
                )
            wish.now(shortage)
            time.sleep(min(_LOOK_SECONDS, seconds))
    finally:
        wish.end()


def _need(shortage: TooLittleError) -> str:
    each = " and ".join(f"{amount:g} {name}" for name, amount in shortage.bundle.items())
    return f"{shortage.workers} worker{'s' * (shortage.workers != 1)} of {each}"


class _Wish:
    """What the autoscaler is asked for.

    Args:
        shortage: What is missing.
    """

    def __init__(self, shortage: TooLittleError) -> None:
        self._ask(shortage)

    def now(self, shortage: TooLittleError) -> None:
        """Asks anew if something else is missing, as when the first node tells of GPUs."""
        if self._bundles != _bundles(shortage):
            self.end()
            self._ask(shortage)

    def end(self) -> None:
        """Asks for nothing more; what was reserved is free."""
        from ray.util import remove_placement_group

        remove_placement_group(self._group)

    def _ask(self, shortage: TooLittleError) -> None:
        from ray.util import placement_group

        self._bundles = _bundles(shortage)
        self._group = placement_group(self._bundles)


def _bundles(shortage: TooLittleError) -> list[dict[str, float]]:
    return [dict(shortage.bundle) for _ in range(shortage.workers)]
