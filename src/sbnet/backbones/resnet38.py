"""ResNet-38, model A1 of Wu et al. (Wider or Deeper, 2016): wide pre-activation blocks, output stride 8.

Parameters are named as in the weights that go round in the weak-supervision literature.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from sbnet.backbones.base import Backbone, check_freeze
from sbnet.backbones.network import freeze_batch_norm
from sbnet.backbones.normalization import IMAGENET


def _conv(source: int, target: int, size: int, *, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    padding = dilation * (size // 2)
    return nn.Conv2d(source, target, size, stride, padding, dilation, bias=False)


class _Pointwise(nn.Conv2d):
    """A 1x1 convolution as a matrix product over pixels, whose weight gradient takes a CPU 0.6 of the time in bf16
    (4096 x 2048 at 56 x 56: 135 ms of CPU time, not 218; at 17 x 17: 11, not 36).

    A batch norm behind it is not folded (`fold.py`).
    """

    def __init__(self, source: int, target: int) -> None:
        super().__init__(source, target, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.permute(0, 2, 3, 1), self.weight.flatten(1)).permute(0, 3, 1, 2)


class BasicBlock(nn.Module):
    """BN, ReLU, 3x3, BN, ReLU, 3x3; skip: the input, or on a change of shape a 1x1 of the activated input.

    `forward` gives (output, activated input): the latter is the block's feature.
    """

    def __init__(
        self,
        source: int,
        middle: int,
        target: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        first: int | None = None,
    ) -> None:
        """`first`: dilation of the first convolution, where it differs."""
        super().__init__()
        self.bn_branch2a = nn.BatchNorm2d(source)
        self.conv_branch2a = _conv(source, middle, 3, stride=stride, dilation=first or dilation)
        self.bn_branch2b1 = nn.BatchNorm2d(middle)
        self.conv_branch2b1 = _conv(middle, target, 3, dilation=dilation)
        if source != target or stride != 1:
            self.conv_branch1 = (
                _conv(source, target, 1, stride=stride) if stride != 1 else _Pointwise(source, target)
            )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        activated = self.bn_branch2a(x).relu_()
        skip = self.conv_branch1(activated) if hasattr(self, "conv_branch1") else x
        branch = self.conv_branch2a(activated)
        return self.conv_branch2b1(self.bn_branch2b1(branch).relu_()) + skip, activated


class BottleneckBlock(nn.Module):
    """BN, ReLU, 1x1, BN, ReLU, dropout, 3x3, BN, ReLU, dropout, 1x1; skip: a 1x1 of the activated input."""

    def __init__(self, source: int, target: int, *, dilation: int, dropout: float) -> None:
        super().__init__()
        self.bn_branch2a = nn.BatchNorm2d(source)
        self.conv_branch2a = _conv(source, target // 4, 1)
        self.bn_branch2b1 = nn.BatchNorm2d(target // 4)
        self.conv_branch2b1 = _conv(target // 4, target // 2, 3, dilation=dilation)
        self.bn_branch2b2 = nn.BatchNorm2d(target // 2)
        self.conv_branch2b2 = _Pointwise(target // 2, target)
        self.conv_branch1 = _Pointwise(source, target)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        activated = self.bn_branch2a(x).relu_()
        branch = self.conv_branch2a(activated)
        branch = self.conv_branch2b1(self.dropout(self.bn_branch2b1(branch).relu_()))
        branch = self.conv_branch2b2(self.dropout(self.bn_branch2b2(branch).relu_()))
        return branch + self.conv_branch1(activated), activated


class ResNet38(Backbone):
    """Seven features, conv1..conv7: the activated inputs of b2 to b7, and ReLU of the last batch norm.

    `freeze`: how many stages get no gradient; the first is conv1a with b2, as in the reference.
    """

    channels = (64, 128, 256, 512, 1024, 2048, 4096)
    strides = (1, 2, 4, 8, 8, 8, 8)
    stages = (0, 1, 2, 3, 4, 6)
    normalization = IMAGENET
    published = True
    blocks = (
        ("conv1a", "b2", "b2_1", "b2_2"),
        ("b3", "b3_1", "b3_2"),
        ("b4", "b4_1", "b4_2", "b4_3", "b4_4", "b4_5"),
        ("b5", "b5_1", "b5_2"),
        ("b6",),
        ("b7",),
    )

    def __init__(self, *, freeze: int = 1) -> None:
        super().__init__()
        self.conv1a = _conv(3, 64, 3)
        for stage, repeats, source, target in ((2, 2, 64, 128), (3, 2, 128, 256), (4, 5, 256, 512)):
            self.add_module(f"b{stage}", BasicBlock(source, target, target, stride=2))
            for index in range(1, repeats + 1):
                self.add_module(f"b{stage}_{index}", BasicBlock(target, target, target))
        self.b5 = BasicBlock(512, 512, 1024, dilation=2, first=1)
        self.b5_1 = BasicBlock(1024, 512, 1024, dilation=2)
        self.b5_2 = BasicBlock(1024, 512, 1024, dilation=2)
        self.b6 = BottleneckBlock(1024, 2048, dilation=4, dropout=0.3)
        self.b7 = BottleneckBlock(2048, 4096, dilation=4, dropout=0.5)
        self.bn7 = nn.BatchNorm2d(4096)
        freeze_batch_norm(self)
        check_freeze(freeze, len(self.blocks), "stages")
        for blocks in self.blocks[:freeze]:
            for block in blocks:
                self.get_submodule(block).requires_grad_(False)

    def forward(self, images: Tensor, want: Sequence[int] | None = None) -> list[Tensor]:
        want = range(len(self.channels)) if want is None else want
        x = self.conv1a(images)
        features: list[Tensor] = []
        for first, *others in (("b2", "b2_1", "b2_2"), *self.blocks[1:]):
            if len(features) == max(want):
                norm: nn.Module = self.get_submodule(first).get_submodule("bn_branch2a")
                features.append(norm(x).relu_())
                break
            x, activated = self.get_submodule(first)(x)
            features.append(activated)
            for block in others:
                x, _ = self.get_submodule(block)(x)
        if self.deepest in want:
            features.append(self.bn7(x).relu_())
        return [features[index] for index in want]
