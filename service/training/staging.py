"""Memory in which a state waits to be written while training goes on."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import torch
from torch import Tensor

from service.training.checkpoint import CheckpointContent, Tree
from service.training.threads import one_thread

_Place: TypeAlias = tuple[str | int, ...]


class Staging:
    """Copies states off the device, into the same memory each time.

    Fresh memory costs several times the copy, because the system hands it out page by page; on a
    GPU it would have to be pinned as well. So one copy of everything that is saved stays in memory
    from the first checkpoint on: weights, their average, and the optimiser's state.
    """

    def __init__(self) -> None:
        self._kept: dict[_Place, Tensor] = {}

    @torch.no_grad()
    def snapshot(self, content: CheckpointContent) -> CheckpointContent:
        """Returns a copy on the CPU that shares no memory with anything; waits for the device once.

        It holds until the next call, which writes over it.
        """
        copied = _Copies(self._kept)
        whole = replace(
            content,
            model=copied.of(content.model, ("model",)),
            ema=copied.of(content.ema, ("ema",)),
            state=copied.of(content.state, ("state",)),
            metrics=copied.of(content.metrics, ("metrics",)),
            metadata=copied.of(content.metadata, ("metadata",)),
        )
        self._kept = copied.kept
        if copied.targets:
            # One core nearly fills the memory's bandwidth. To meet others after each of thousands
            # of small tensors takes longer than to copy it, above all where the machine is busy.
            with one_thread():
                torch._foreach_copy_(copied.targets, copied.sources, non_blocking=True)
        for device in {tensor.device for tensor in copied.sources if tensor.is_cuda}:
            torch.cuda.synchronize(device)
        return whole


class _Copies:
    """What is to be copied, and where to."""

    def __init__(self, known: Mapping[_Place, Tensor]) -> None:
        self._known = known
        self.kept: dict[_Place, Tensor] = {}
        self.targets: list[Tensor] = []
        self.sources: list[Tensor] = []

    def of(self, value: Tree, place: _Place) -> Any:  # noqa: ANN401  # a tree like the given one
        """Returns a value with memory for its tensors, which is not filled yet."""
        if isinstance(value, Tensor):
            return self._target(value, place)
        if isinstance(value, Mapping):
            return {key: self.of(item, (*place, key)) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(self.of(item, (*place, i)) for i, item in enumerate(value))
        return value

    def _target(self, source: Tensor, place: _Place) -> Tensor:
        target = self._known.get(place)
        if target is None or not _alike(target, source):
            # Pinned memory lets the copies of a device run one after the other without waiting.
            target = torch.empty_like(source, device="cpu", pin_memory=source.is_cuda)
        self.kept[place] = target
        self.targets.append(target)
        self.sources.append(source.detach())
        return target


def _alike(one: Tensor, other: Tensor) -> bool:
    return (one.shape, one.dtype, one.stride()) == (other.shape, other.dtype, other.stride())
