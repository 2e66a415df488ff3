"""UPerNet (Xiao et al., ECCV 2018)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from segmentation_models_pytorch.decoders.upernet.decoder import UPerNetDecoder
from torch import nn

from sbnet.segmenters.decoder import DecoderSegmenter


class UPerNet(DecoderSegmenter):
    """A feature pyramid whose deepest level is pooled at four sizes."""

    family = "upernet"
    own_defaults: ClassVar[Mapping[str, Any]] = {"channels": 64}

    def make_decoder(self, encoder: list[int], channels: int) -> nn.Module:
        decoder: nn.Module = UPerNetDecoder(
            encoder_channels=encoder, encoder_depth=5, decoder_channels=channels
        )
        return decoder
