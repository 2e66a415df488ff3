"""SegFormer's decoder (Xie et al., NeurIPS 2021)."""

from __future__ import annotations

from torch import nn

from sbnet.segmenters.decoder import DecoderSegmenter, library


class SegFormer(DecoderSegmenter):
    """Each level through a linear layer to `channels`, enlarged, and all of them mixed by a 1x1.

    The decoder alone: with the papers' Mix Transformers only if the backbone is one.
    """

    family = "segformer"
    smallest_batch = 1

    def make_decoder(self, encoder: list[int], channels: int) -> nn.Module:
        decoder: nn.Module = library("decoders.segformer.decoder").SegformerDecoder(
            encoder_channels=encoder, encoder_depth=5, segmentation_channels=channels
        )
        return decoder
