"""ResNet-101 as DeepLab v2 uses it: stride on the first 1x1 of a bottleneck, ceiling pool, output stride 8.

Parameters are named as in kazuto1011's PyTorch port, whose COCO-pretrained file initialises it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn

from sbnet.backbones.base import Backbone, check_freeze
from sbnet.backbones.network import freeze_batch_norm
from sbnet.backbones.normalization import CAFFE


def _conv_bn(source: int, target: int, size: int, *, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    padding = dilation * (size // 2)
    conv = nn.Conv2d(source, target, size, stride, padding, dilation, bias=False)
    return nn.Sequential(OrderedDict(conv=conv, bn=nn.BatchNorm2d(target)))


class Bottleneck(nn.Module):
    """ReLU(1x1, 3x3, 1x1 + skip); the skip is a 1x1 where `project`, else the input."""

    def __init__(self, source: int, target: int, *, stride: int, dilation: int, project: bool) -> None:
        super().__init__()
        self.reduce = _conv_bn(source, target // 4, 1, stride=stride)
        self.conv3x3 = _conv_bn(target // 4, target // 4, 3, dilation=dilation)
        self.increase = _conv_bn(target // 4, target, 1)
        self.shortcut = _conv_bn(source, target, 1, stride=stride) if project else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        branch = self.conv3x3(self.reduce(x).relu()).relu()
        return (self.increase(branch) + self.shortcut(x)).relu()


class ResNet101(Backbone):
    """Five features: the stem's and the four stages'. `freeze`: how many of these parts get no gradient."""

    channels = (64, 256, 512, 1024, 2048)
    strides = (4, 4, 8, 8, 8)
    stages = (1, 2, 3, 4)
    normalization = CAFFE
    published = True

    def __init__(self, *, freeze: int = 0) -> None:
        super().__init__()
        self.layer1 = nn.Sequential(
            OrderedDict(
                conv1=_conv_bn(3, 64, 7, stride=2),
                relu=nn.ReLU(inplace=True),
                pool=nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True),
            )
        )
        shapes = ((3, 256, 1, 1), (4, 512, 2, 1), (23, 1024, 1, 2), (3, 2048, 1, 4))
        source = 64
        for number, (blocks, target, stride, dilation) in enumerate(shapes, start=2):
            self.add_module(f"layer{number}", _stage(blocks, source, target, stride, dilation))
            source = target
        freeze_batch_norm(self)
        check_freeze(freeze, 5, "parts")
        for layer in list(self.children())[:freeze]:
            layer.requires_grad_(False)

    def forward(self, images: Tensor, want: Sequence[int] | None = None) -> list[Tensor]:
        want = range(len(self.channels)) if want is None else want
        features = [images]
        for layer in list(self.children())[: max(want) + 1]:
            features.append(layer(features[-1]))
        return [features[1 + index] for index in want]


def _stage(blocks: int, source: int, target: int, stride: int, dilation: int) -> nn.Sequential:
    stage = nn.Sequential()
    for index in range(blocks):
        first = index == 0
        block = Bottleneck(
            source if first else target,
            target,
            stride=stride if first else 1,
            dilation=dilation,
            project=first,
        )
        stage.add_module(f"block{index + 1}", block)
    return stage
