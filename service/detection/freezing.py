"""Which parts of a backbone compute as in evaluation, whatever the detector does.

A frozen stage learns nothing and computes as in evaluation: batch normalisation uses and keeps the
statistics of the weights, ShakeDrop multiplies by p + (1 − p) E[α], RandomDrop by p, Shake-Shake
mixes evenly, DropBlock drops nothing. No graph is kept for it.

A stage that trains is regularised as in the training of a classifier: its ShakeDrop has the P_L, α
and β of the configuration. With frozen batch normalisation only the normalisation of such a stage
computes as in evaluation; its regulariser trains on.
"""

from dataclasses import dataclass
from typing import Literal, Self

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from service.models.network import ResidualNetwork

BatchNormPolicy = Literal["frozen", "trained", "synchronised"]


@dataclass(frozen=True)
class Freezing:
    """The frozen parts of a backbone, by name, so that it applies to copies of the backbone too."""

    layers: tuple[str, ...]
    """Names of the frozen children of the network: stem and stages, first to last."""
    norms: bool
    """Whether batch normalisation is frozen in the stages that train, too."""

    @classmethod
    def of(cls, body: ResidualNetwork, trained_stages: int, batch_norm: BatchNormPolicy) -> Self:
        """Returns what is frozen of a network.

        Args:
            body: The network; its stem counts as a stage, its tail belongs to the last one.
            trained_stages: Stages that train, counted from the last.
            batch_norm: What happens to batch normalisation in stages that train.
        """
        stages = [body.stem_names, *((name,) for name in body.stage_names)]
        stages[-1] += body.tail_names
        frozen = stages[: max(len(stages) - trained_stages, 0)]
        return cls(tuple(name for stage in frozen for name in stage), batch_norm == "frozen")

    def parts(self, body: ResidualNetwork) -> list[nn.Module]:
        """Returns the network's frozen modules."""
        parts = [body.get_submodule(name) for name in self.layers]
        if self.norms:
            # What SyncBatchNorm and BatchNorm2d share.
            parts += [module for module in body.modules() if isinstance(module, _BatchNorm)]
        return parts
