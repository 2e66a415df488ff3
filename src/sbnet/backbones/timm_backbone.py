"""Any timm backbone, as features by stride."""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional

from sbnet.errors import SBNetError, did_you_mean
from sbnet.backbones.network import Backbone, freeze_batch_norm
from sbnet.backbones.normalization import Normalization

PROBE = 128  # pixels of the image whose features tell channels and strides


class TimmBackbone(Backbone):
    """Backbone `name` of timm at output stride `stride`.

    Features are timm's stages, then, where the model has one, its convolutional head (the 1280 channels of
    the EfficientNets): pretrained too, and rectified, which suits a linear classifier better.

    `freeze`: how many stages get no gradient, the stem counting to the first (in the ResNets it is one by itself); no
    graph is kept for them.
    `dilate`: spread the kernels of the stages whose stride was taken away, so that they see as much as before. IRN's
    ResNet-50 does not.

    Grids are as large as the photo's size divided by the stride, rounded up, as losses and walks count on. Models that
    round down (ConvNeXt and others whose stem cuts patches) get the photo padded with zeros at right and bottom.
    Raises SBNetError for an unknown name, an impossible `stride` or `freeze`, a failed download.
    """

    def __init__(
        self,
        name: str,
        *,
        stride: int = 16,
        freeze: int = 1,
        dilate: bool = True,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        self.net = _create(name, stride, pretrained)
        if not dilate:
            _undilate(self.net)
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
                f"timm:{name} has features at strides {self.strides}: no use for stride={stride}; "
                "a backbone needs at least four stages, the last of that stride"
            )
        self._rounds_down = probed[-1].shape[-1] == stages[-1].shape[-1]
        count = len(stages)
        self.middle = (count - 3, count - 2)
        self.boundary = (count - 4, count - 3, count - 2, len(features) - 1)
        self.pyramid = self.boundary
        config = self.net.pretrained_cfg
        self.normalization = Normalization(mean=tuple(config["mean"]), std=tuple(config["std"]))

    def forward(self, images: Tensor) -> list[Tensor]:
        height, width = images.shape[-2:]
        if self._rounds_down:
            coarsest = self.strides[-1]
            images = functional.pad(images, (0, -width % coarsest, 0, -height % coarsest))
        stages, final = self._stages(images)
        features = [*stages, *final]
        if self._rounds_down:  # finer features have cells beyond the photo then
            features = [
                feature[..., : -(-height // stride), : -(-width // stride)]
                for feature, stride in zip(features, self.strides, strict=True)
            ]
        return features

    def _stages(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """The stages' features, and the head's in a list that is empty where there is no head."""
        if not hasattr(self.net, "forward_intermediates"):
            return self.net(images), []
        final, stages = self.net.forward_intermediates(images)
        return stages, [] if final is stages[-1] else [final]

    def _freeze(self, stages: list[Tensor], count: int) -> None:
        """No gradient for the parameters that stage `count`, from 1, was computed with: its graph tells."""
        if not 0 <= count <= len(stages):
            raise SBNetError(
                f"freeze={count}: this backbone has {len(stages)} stages; give 0 to {len(stages)}"
            )
        if count == 0:
            return
        parameters = [parameter for parameter in self.net.parameters() if parameter.requires_grad]
        gradients = torch.autograd.grad(stages[count - 1].sum(), parameters, allow_unused=True)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                parameter.requires_grad_(False)


def _undilate(net: nn.Module) -> None:
    """Every convolution's kernel as close as it was before its stage's stride was taken away."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and module.dilation != (1, 1):
            if isinstance(module.padding, tuple):
                module.padding = tuple(
                    pad // spread for pad, spread in zip(module.padding, module.dilation, strict=True)
                )
            module.dilation = (1, 1)


def pretrained_state(name: str) -> dict[str, Tensor]:
    """The weights that timm has for its model `name`, downloaded by timm where they are not at hand.

    Raises SBNetError for a name without weights and for a failed download.
    """
    if not timm.is_model(name):
        near = did_you_mean(name, timm.list_models())
        raise SBNetError(f"timm has no model '{name}'{near}; timm.list_models(pretrained=True) lists them")
    try:
        state: dict[str, Tensor] = timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:  # as in `_create`
        raise SBNetError(
            f"the weights of timm:{name} cannot be had ({type(error).__name__}: {error}); bring them as file:PATH"
        ) from error
    return state


def _create(name: str, stride: int, pretrained: bool) -> Any:
    if not timm.is_model(name):
        near = did_you_mean(name, timm.list_models())
        raise SBNetError(f"timm has no model '{name}'{near}; timm.list_models() lists them")
    try:
        try:
            return timm.create_model(name, pretrained=pretrained, num_classes=0, output_stride=stride)
        except TypeError:  # takes output_stride only as a feature extractor, if at all
            return timm.create_model(name, pretrained=pretrained, features_only=True, output_stride=stride)
    except Exception as error:  # timm and the download of its weights raise many kinds
        raise SBNetError(
            f"timm:{name} at stride {stride} cannot be built ({type(error).__name__}: {error}); try another "
            "stride or backbone, or weights none or file:PATH where the download of its weights failed"
        ) from error
