"""What Ray Train's controller is told of its workers' devices.

It takes what it needs by name: apart from the trainer, because it need not import that.
"""

from ray.train.backend import Backend, BackendConfig


class _SharedDevices(Backend):
    """Lets each worker see all GPUs of its node's workers, as NCCL's direct copies need it."""

    share_cuda_visible_devices = True


class Workers(BackendConfig):
    """Leaves the process group to the workers; see `service.cluster.process_group`."""

    @property
    def backend_cls(self) -> type[Backend]:
        """What Ray asks about the workers' devices."""
        return _SharedDevices


def ask_nobody(*_context: object) -> None:
    """Stands where a cluster of one's own has no autoscaler to ask."""
