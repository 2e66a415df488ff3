"""Segmenters whose decoder is segmentation-models-pytorch's, over our backbones.

Shapes: B batch, C classes (0 = background), H x W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import torch.nn.functional as F
from pydantic import Field
from segmentation_models_pytorch.base.initialization import initialize_decoder, initialize_head
from torch import Tensor, nn

from sbnet.backbones.base import Backbone
from sbnet.errors import SBNetError
from sbnet.segmenters.base import InputScales
from sbnet.segmenters.segmenter import Segmenter

FINEST = 4  # stride of the decoders' output


class DecoderSegmenter(Segmenter):
    """A decoder over the last four stages of the backbone, the finest at stride 4, and a 1x1 to the classes.

    The image is padded with zeros at right and bottom to a multiple of the output stride, so that the features' cells
    lie on each other; logits have the image's size. Batch norms of the decoder, unlike the backbone's, are new and
    train, statistics included.
    `channels`: of the decoder. `scales`: as in `Segmenter`.
    """

    smallest_batch = 2  # a map pooled to one cell has no variance within one image
    own_defaults: ClassVar[Mapping[str, Any]] = {"channels": 128}

    def __init__(
        self,
        backbone: Backbone,
        classes: int = 21,
        *,
        channels: Annotated[int, Field(ge=1, le=2**16)] = 256,
        scales: InputScales = (1.0,),
    ) -> None:
        super().__init__(backbone, classes, {"decoder", "classifier"}, scales=scales)
        self.sources = backbone.last(4)
        # Of the image, of no feature at stride 2, and of the four.
        encoder = [3, 0, *(backbone.channels[index] for index in self.sources)]
        self.decoder = self.make_decoder(encoder, channels)
        self.classifier = nn.Conv2d(channels, classes, 1)
        self.initialize()

    def make_decoder(self, encoder: list[int], channels: int) -> nn.Module:
        """The library's decoder over features of `encoder` channels, with `channels` in its output."""
        raise NotImplementedError

    @classmethod
    def check_backbone(cls, backbone: Backbone) -> None:
        strides = [backbone.strides[index] for index in backbone.last(4)]
        if strides[0] != FINEST:
            raise SBNetError(
                f"the {cls.family} decoder requires a feature at stride {FINEST} and three coarser ones; this "
                f"backbone's last four have strides {', '.join(map(str, strides))}; use DeepLab v2, or "
                "another backbone"
            )

    def logits(self, images: Tensor) -> Tensor:
        """(B, C, H, W)"""
        height, width = images.shape[2:]
        unit = self.output_stride
        padded = F.pad(images, (0, -width % unit, 0, -height % unit))
        scores = self.classifier(self.decoder(self._features(padded)))
        enlarged = F.interpolate(scores, size=padded.shape[2:], mode="bilinear", align_corners=False)
        return enlarged[..., :height, :width]

    def initialize(self) -> None:
        """The library's initial weights. A classifier of the usual N(0, 0.01) would hold back the gradient."""
        initialize_decoder(self.decoder)
        initialize_head(self.classifier)

    def _features(self, padded: Tensor) -> list[Tensor]:
        """As the library's encoders give them: strides 1, 2 (none), then the four, finest first."""
        height, width = padded.shape[2:]
        found = []
        for index, feature in zip(self.sources, self.backbone(padded, self.sources), strict=True):
            stride = self.backbone.strides[index]  # ResNet-101's pooling adds a row and a column at the end
            found.append(feature[..., : height // stride, : width // stride])
        return [padded, padded[:, :0, ::2, ::2], *found]
