"""A residual network: stem, stages of blocks, tail, classifier."""

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor, nn

from service.config.regularizer import RegularizerConfig
from service.models.block import ResidualBlock
from service.models.layers import Layers, add_layers, run_layers


class ResidualNetwork(nn.Module):
    """stem → layer1 … layerN → tail → average pooling → fc.

    Names follow torchvision's ResNet, so that its state dicts load. For a detector's backbone:

    Attributes:
        stage_names: Names of the stages, ("layer1", …), each an `nn.Sequential` of blocks.
        feature_channels: Channels of each stage's output, such as (256, 512, 1024, 2048).
        fc: The classifier, `nn.Linear`.
        regularizer: What the blocks' merge rules do, as it was configured.

    Args:
        stem: Layers before the first stage.
        stages: The blocks of each stage.
        tail: Layers after the last stage; none for most families.
        feature_channels: Channels of each stage's output.
        classes: Outputs of the classifier.
        regularizer: What the blocks' merge rules were built from.
    """

    def __init__(
        self,
        stem: Layers,
        stages: Sequence[Sequence[ResidualBlock]],
        tail: Layers,
        feature_channels: Sequence[int],
        classes: int,
        regularizer: RegularizerConfig,
    ) -> None:
        super().__init__()
        self.regularizer = regularizer
        self.feature_channels = tuple(feature_channels)
        self.stem_names = add_layers(self, stem)
        self.stage_names = add_layers(
            self, {f"layer{n}": nn.Sequential(*blocks) for n, blocks in enumerate(stages, start=1)}
        )
        self.tail_names = add_layers(self, tail)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(self.feature_channels[-1], classes)
        self._initialise()

    def forward(self, x: Tensor) -> Tensor:
        """Returns logits (N, classes) for normalised pictures x of shape (N, 3, H, W)."""
        x = run_layers(self, self.stem_names, x)
        x = run_layers(self, self.stage_names, x)
        x = run_layers(self, self.tail_names, x)
        logits: Tensor = self.fc(torch.flatten(self.avgpool(x), 1))
        return logits

    @property
    def stages(self) -> list[list[ResidualBlock]]:
        """The residual blocks of each stage, first to last."""
        stages = [self.get_submodule(name).children() for name in self.stage_names]
        return [[block for block in stage if isinstance(block, ResidualBlock)] for stage in stages]

    @property
    def blocks(self) -> list[ResidualBlock]:
        """All residual blocks, first to last."""
        return list(chain.from_iterable(self.stages))

    def _initialise(self) -> None:
        """Draws convolutions from Kaiming's normal distribution, fan out (arXiv 1502.01852).

        As torchvision does; normalisation (γ 1, bias 0) and classifier keep PyTorch's start.
        """
        for module in self.modules():
            # Weights on the meta device have no values, and drawing them would take seconds.
            if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
