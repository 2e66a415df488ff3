"""SegFormer's decoder (Xie et al., NeurIPS 2021)."""

from __future__ import annotations

from segmentation_models_pytorch.decoders.segformer.decoder import SegformerDecoder
from torch import nn

from sbnet.segmenters.decoder import DecoderSegmenter


class SegFormer(DecoderSegmenter):
    """Each level through a linear layer to `channels`, enlarged, and all of them mixed by a 1x1.

    The decoder alone: with the papers' Mix Transformers only if the backbone is one.
    """

    family = "segformer"
    smallest_batch = 1

    def make_decoder(self, encoder: list[int], channels: int) -> nn.Module:
        decoder: nn.Module = SegformerDecoder(
            encoder_channels=encoder, encoder_depth=5, segmentation_channels=channels
        )
        return decoder
