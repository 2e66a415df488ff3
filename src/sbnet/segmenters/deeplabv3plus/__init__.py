"""DeepLab v3+ (Chen et al., ECCV 2018)."""

from __future__ import annotations

from typing import ClassVar

from sbnet.methods.base import register
from sbnet.segmenters.base import DecoderMethod


@register
class DeepLabV3Plus(DecoderMethod):
    name = "deeplabv3plus"
    title = "DeepLab v3+"
    about = "atrous pyramid with a skip connection"
    paper = "Chen et al., ECCV 2018"
    networks: ClassVar = {"deeplabv3plus": "sbnet.segmenters.deeplabv3plus.network:DeepLabV3Plus"}
