"""DeepLab v3+, UPerNet and SegFormer: decoders of segmentation-models-pytorch over our backbones.

DeepLab v3+: Chen et al., ECCV 2018. UPerNet: Xiao et al., ECCV 2018. SegFormer's decoder: Xie et al., NeurIPS 2021.

Shapes: B batch, C classes (0 = background), H x W pixels.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from sbnet.errors import SBNetError
from sbnet.backbones.network import Backbone
from sbnet.segmenters.segmenter import Segmenter

LIBRARY = "segmentation_models_pytorch"
FINEST = 4  # stride of the grid that the decoders answer on
RATES = (12, 24, 36)  # dilations of DeepLab v3+ at output stride 8


class DecoderSegmenter(Segmenter):
    """A decoder over four features of the backbone (`Backbone.pyramid`), and a 1x1 to the classes.

    The photo is padded with zeros at right and bottom to a multiple of the output stride, so that the features' cells
    lie on each other; logits come back at the photo's size. Batch norms of the decoder, other than the backbone's, are
    new and train, statistics included.
    `channels`: of the decoder. `scales`: as in `Segmenter`.
    """

    smallest_batch = 2  # a map pooled to one cell has no variance within one photo

    def __init__(
        self,
        backbone: Backbone,
        classes: int = 21,
        *,
        channels: int = 256,
        scales: tuple[float, ...] = (1.0,),
    ) -> None:
        super().__init__(backbone, classes, {"decoder", "classifier"}, scales=scales)
        self.decoder = self.make_decoder(backbone, channels)
        self.classifier = nn.Conv2d(channels, classes, 1)
        self.initialize()

    def make_decoder(self, backbone: Backbone, channels: int) -> nn.Module:
        """The library's decoder over the backbone's pyramid, answering with `channels`."""
        raise NotImplementedError

    @classmethod
    def check_installed(cls) -> None:
        _part("base.initialization")

    def logits(self, images: Tensor) -> Tensor:
        """(B, C, H, W). Raises SBNetError for a batch in training that is too small for the batch norms."""
        if self.training and len(images) < self.smallest_batch:
            raise SBNetError(
                f"{self.name} needs batches of {self.smallest_batch} photos or more, for its decoder's batch norms; "
                "raise train_segmenter.batch"
            )
        height, width = images.shape[2:]
        unit = self.output_stride
        padded = F.pad(images, (0, -width % unit, 0, -height % unit))
        scores = self.classifier(self.decoder(self._features(padded)))
        enlarged = F.interpolate(scores, size=padded.shape[2:], mode="bilinear", align_corners=False)
        return enlarged[..., :height, :width]

    def initialize(self) -> None:
        """The library's initial weights. A classifier of the usual N(0, 0.01) would hold back the gradient."""
        start = _part("base.initialization")
        start.initialize_decoder(self.decoder)
        start.initialize_head(self.classifier)

    def _features(self, padded: Tensor) -> list[Tensor]:
        """As the library's encoders give them: strides 1, 2 (none), then the four, finest first."""
        features = self.backbone(padded)
        height, width = padded.shape[2:]
        pyramid = []
        for index in self.backbone.pyramid:
            stride = self.backbone.strides[index]  # ResNet-101's pooling adds a row and a column at the end
            pyramid.append(features[index][..., : height // stride, : width // stride])
        return [padded, padded[:, :0, ::2, ::2], *pyramid]


class DeepLabV3Plus(DecoderSegmenter):
    """Dilations are 12, 24, 36 at output stride 8, and half of that at 16, as in the paper."""

    def make_decoder(self, backbone: Backbone, channels: int) -> nn.Module:
        stride = backbone.strides[-1]
        decoder: nn.Module = _part("decoders.deeplabv3.decoder").DeepLabV3PlusDecoder(
            encoder_channels=_encoder_channels(backbone),
            encoder_depth=5,
            out_channels=channels,
            atrous_rates=tuple(rate * 8 // stride for rate in RATES),
            output_stride=stride,
            aspp_separable=True,
            aspp_dropout=0.5,
        )
        return decoder

    def initialize(self) -> None:
        """PyTorch's own initial weights, as in the library."""


class UPerNet(DecoderSegmenter):
    """A feature pyramid whose deepest level is pooled at four sizes."""

    def make_decoder(self, backbone: Backbone, channels: int) -> nn.Module:
        decoder: nn.Module = _part("decoders.upernet.decoder").UPerNetDecoder(
            encoder_channels=_encoder_channels(backbone), encoder_depth=5, decoder_channels=channels
        )
        return decoder


class SegFormer(DecoderSegmenter):
    """Each level through a linear layer to `channels`, enlarged, and all of them mixed by a 1x1.

    The decoder alone: with the papers' Mix Transformers only if the backbone is one.
    """

    smallest_batch = 1

    def make_decoder(self, backbone: Backbone, channels: int) -> nn.Module:
        decoder: nn.Module = _part("decoders.segformer.decoder").SegformerDecoder(
            encoder_channels=_encoder_channels(backbone), encoder_depth=5, segmentation_channels=channels
        )
        return decoder


def _encoder_channels(backbone: Backbone) -> list[int]:
    """Of the photo, of no feature at stride 2, and of the pyramid. SBNetError where its finest is not at stride 4."""
    strides = [backbone.strides[index] for index in backbone.pyramid]
    if strides[0] != FINEST:
        raise SBNetError(
            f"the decoder needs a feature at stride {FINEST} and three coarser ones; this backbone's last four have "
            f"strides {', '.join(map(str, strides))}; take deeplabv2, or another backbone"
        )
    return [3, 0, *(backbone.channels[index] for index in backbone.pyramid)]


def _part(name: str) -> Any:
    """A module of the library, which only these segmenters need."""
    try:
        return import_module(f"{LIBRARY}.{name}")
    except ImportError as error:
        raise SBNetError(
            f"this segmenter's decoder is segmentation-models-pytorch's, which cannot be loaded ({error}); "
            "pip install 'sbnet[smp]'"
        ) from error
