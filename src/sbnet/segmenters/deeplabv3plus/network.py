"""DeepLab v3+ (Chen et al., ECCV 2018)."""

from __future__ import annotations

from segmentation_models_pytorch.decoders.deeplabv3.decoder import DeepLabV3PlusDecoder
from torch import nn

from sbnet.segmenters.decoder import DecoderSegmenter

RATES = (12, 24, 36)  # dilations at output stride 8


class DeepLabV3Plus(DecoderSegmenter):
    """Dilations are 12, 24, 36 at output stride 8, and half of that at 16, as in the paper."""

    family = "deeplabv3plus"

    def make_decoder(self, encoder: list[int], channels: int) -> nn.Module:
        decoder: nn.Module = DeepLabV3PlusDecoder(
            encoder_channels=encoder,
            encoder_depth=5,
            out_channels=channels,
            atrous_rates=tuple(rate * 8 // self.output_stride for rate in RATES),
            output_stride=self.output_stride,
            aspp_separable=True,
            aspp_dropout=0.5,
        )
        return decoder

    def initialize(self) -> None:
        """PyTorch's own initial weights, as in the library."""
