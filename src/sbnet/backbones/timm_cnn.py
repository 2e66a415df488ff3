"""Any CNN of timm, as features by stride."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional

from sbnet.backbones.base import Backbone, check_freeze
from sbnet.backbones.depthwise import fast_depthwise
from sbnet.backbones.network import freeze_batch_norm
from sbnet.backbones.normalization import Normalization
from sbnet.backbones.timm_models import check_name, creating
from sbnet.errors import SBNetError

PROBE = 128  # pixels of the image whose features tell channels and strides


class TimmCnn(Backbone):
    """Backbone `name` of timm at output stride `stride`.

    Features are timm's stages, then, where the model has one, its convolutional head (the 1280 channels of
    the EfficientNets): pretrained too, and rectified, which suits a linear classifier better.

    `freeze`: how many stages get no gradient, the stem counting as part of the first (in the ResNets it is one by
    itself); no graph is kept for them.
    `dilate`: spread the kernels of the stages whose stride was removed, so that they see as much as before.

    Models that round grids down (ConvNeXt and others whose stem cuts patches) get the image padded with zeros at right
    and bottom. Raises SBNetError for an unknown name, an impossible `stride` or `freeze`, a failed download.
    """

    def __init__(
        self, name: str, *, stride: int = 16, freeze: int = 1, dilate: bool = True, pretrained: bool = False
    ) -> None:
        super().__init__()
        self.net = _create(name, stride, pretrained)
        if not dilate:
            _undilate(self.net)
        fast_depthwise(self.net)
        freeze_batch_norm(self.net.eval())
        with torch.enable_grad():
            stages, final = self._stages(torch.zeros(1, 3, PROBE, PROBE))
            self._freeze(stages, freeze)
        with torch.no_grad():
            probed = self._stages(torch.zeros(1, 3, PROBE + 1, PROBE + 1))[0]
        features = [*stages, *final]
        self.channels = tuple(feature.shape[1] for feature in features)
        self.strides = tuple(PROBE // feature.shape[-1] for feature in features)
        if len(stages) < 4 or self.strides[-1] != stride:
            raise SBNetError(
                f"timm:{name} has features at strides {', '.join(map(str, self.strides))}, which does not suit "
                f"stride={stride}: four stages or more are required, the last at that stride"
            )
        self.stages = (*range(len(stages) - 1), self.deepest)
        self._rounds_down = probed[-1].shape[-1] == stages[-1].shape[-1]
        self._has_head = bool(final)
        config = self.net.pretrained_cfg
        self.normalization = Normalization(mean=tuple(config["mean"]), std=tuple(config["std"]))

    def forward(self, images: Tensor, want: Sequence[int] | None = None) -> list[Tensor]:
        want = range(len(self.channels)) if want is None else want
        height, width = images.shape[-2:]
        if self._rounds_down:
            coarsest = self.strides[-1]
            images = functional.pad(images, (0, -width % coarsest, 0, -height % coarsest))
        stages, final = self._stages(images, max(want))
        features = [*stages, *final]
        if self._rounds_down:  # finer features have cells beyond the image then
            features = [
                feature[..., : -(-height // stride), : -(-width // stride)]
                for feature, stride in zip(features, self.strides, strict=False)
            ]
        return [features[index] for index in want]

    def adapted(self, state: dict[str, Tensor], source: Path | str) -> dict[str, Tensor]:
        """efficientnet_pytorch, whose files the EfficientNet-Lites' packages hold, names timm's tensors otherwise, in
        timm's order.
        """
        if next(iter(state), "") != "_conv_stem.weight":
            return state
        names = [*self.net.state_dict(), "classifier.weight", "classifier.bias"]
        if len(names) != len(state):
            raise SBNetError(
                f"{source}: not the weights of this backbone: {len(state)} tensors, not {len(names)}"
            )
        return dict(zip(names, state.values(), strict=True))

    def _stages(self, images: Tensor, through: int | None = None) -> tuple[list[Tensor], list[Tensor]]:
        """The stages' features, up to that one if given, and the head's in a list, empty where there is none."""
        if not hasattr(self.net, "forward_intermediates"):
            return self.net(images), []
        if through is not None and (through < self.deepest or not self._has_head):
            indices = list(range(through + 1))
            return self.net.forward_intermediates(
                images, indices=indices, stop_early=True, intermediates_only=True
            ), []
        final, stages = self.net.forward_intermediates(images)
        return stages, [] if final is stages[-1] else [final]

    def _freeze(self, stages: list[Tensor], count: int) -> None:
        """No gradient for the parameters that stage `count`, from 1, was computed with: its graph tells."""
        check_freeze(count, len(stages), "stages")
        if count == 0:
            return
        parameters = [parameter for parameter in self.net.parameters() if parameter.requires_grad]
        gradients = torch.autograd.grad(stages[count - 1].sum(), parameters, allow_unused=True)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                parameter.requires_grad_(False)


def _undilate(net: nn.Module) -> None:
    """Every convolution's kernel as close as it was before its stage's stride was removed."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and module.dilation != (1, 1):
            if isinstance(module.padding, tuple):
                module.padding = tuple(
                    pad // spread for pad, spread in zip(module.padding, module.dilation, strict=True)
                )
            module.dilation = (1, 1)


def _create(name: str, stride: int, pretrained: bool) -> Any:
    check_name(name)
    with creating(f"timm:{name} at stride {stride}"):
        try:
            return timm.create_model(name, pretrained=pretrained, num_classes=0, output_stride=stride)
        except TypeError:  # takes output_stride only as a feature extractor, if at all
            return timm.create_model(name, pretrained=pretrained, features_only=True, output_stride=stride)
