"""Placement groups that a sweep would leave behind hold resources; this finds them."""

import time

import ray
from ray._raylet import PlacementGroupID
from ray.exceptions import RayError
from ray.util import remove_placement_group
from ray.util.placement_group import PlacementGroup
from ray.util.state import list_placement_groups

from service.cluster.console import announce

_PATIENCE = 15.0  # seconds after which a group is not merely on its way out


def clear_leftovers() -> None:
    """Waits until this job's placement groups are gone, removes what stays, and says how many.

    A cluster that is lost, as when it was stopped together with its driver, holds none.
    """
    try:
        _clear()
    except (RayError, ConnectionError) as error:
        announce(
            f"warning: the cluster does not answer, its placement groups were not counted: {error}"
        )


def _clear() -> None:
    until = time.monotonic() + _PATIENCE
    while (left := _living()) and time.monotonic() < until:
        time.sleep(0.2)
    for identity in left:
        remove_placement_group(PlacementGroup(PlacementGroupID(bytes.fromhex(identity))))
    removed = f" ({len(left)} had to be removed)" if left else ""
    announce(f"placement groups left: {len(_living())}{removed}")


def _living() -> list[str]:
    """Returns the placement groups of this job that hold resources, or wait for some."""
    context = ray.get_runtime_context()
    groups = list_placement_groups(
        # Without it the first cluster of the machine is asked, which may be another one.
        address=context.gcs_address,
        filters=[("creator_job_id", "=", context.get_job_id())],
        limit=10_000,
    )
    return [group.placement_group_id for group in groups if group.state != "REMOVED"]
