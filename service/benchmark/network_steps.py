"""Forward and backward passes of a residual network, as measurements repeat them."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from service.benchmark.timing import Preparation, Prepared
from service.config.model import ResNetConfig
from service.config.regularizer import PlainSumConfig, RegularizerConfig
from service.config.training import TrainingConfig
from service.models.build import build_network
from service.models.network import ResidualNetwork
from service.training.wrapping import autocast, prepare

CLASSES = 1000

Forward = Callable[[Tensor], Tensor]


def residual_network(depth: int, regularizer: RegularizerConfig | None = None) -> ResidualNetwork:
    """Returns a ResNet that all regularisers are defined for; always with the same weights."""
    torch.manual_seed(0)
    config = ResNetConfig(
        depth=depth, order="erase_relu", regularizer=regularizer or PlainSumConfig()
    )
    return build_network(config, CLASSES).train()


class Steps:
    """Steps of a network on one batch of noise, without an optimiser.

    Args:
        network: The network, not yet in the memory order of `training`.
        training: Arithmetic, memory order and compilation.
        batch: Pictures of a step.
        side: Of a picture, pixels.
    """

    def __init__(
        self, network: nn.Module, training: TrainingConfig, *, batch: int, side: int
    ) -> None:
        self.network = prepare(network, training)
        self._training = training
        self._forward: Forward = torch.compile(self.network) if training.compile else self.network
        draw = torch.Generator().manual_seed(1)
        order = torch.channels_last if training.channels_last else torch.contiguous_format
        pictures = torch.randn(batch, 3, side, side, generator=draw)
        self._pictures = pictures.contiguous(memory_format=order)
        self._labels = torch.randint(CLASSES, (batch,), generator=draw)
        self._number = 0

    def __call__(self) -> Tensor:
        """Performs both passes and returns the loss; the n-th call has the n-th seed."""
        torch.manual_seed(self._number)
        self._number += 1
        loss = self.loss()
        torch.autograd.backward(loss)
        return loss.detach()

    def loss(self) -> Tensor:
        """Performs the forward pass."""
        with autocast(torch.device("cpu"), self._training):
            return F.cross_entropy(self._forward(self._pictures).float(), self._labels)

    @property
    def preparation(self) -> Preparation:
        """Gets rid of the gradients, outside the clock."""

        def prepared() -> Prepared:
            self.network.zero_grad(set_to_none=True)
            return self

        return prepared

    def kept_mebibytes(self) -> float:
        """Returns what the forward pass keeps for the backward pass, without the weights."""
        weights = {weight.untyped_storage().data_ptr() for weight in self.network.parameters()}
        kept: dict[int, int] = {}

        def keep(value: Tensor) -> Tensor:
            storage = value.untyped_storage()
            if storage.data_ptr() not in weights:
                kept[storage.data_ptr()] = storage.nbytes()
            return value

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
            loss = self.loss()
        del loss
        return sum(kept.values()) / 2**20
