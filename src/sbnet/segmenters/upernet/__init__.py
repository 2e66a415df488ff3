"""UPerNet (Xiao et al., ECCV 2018)."""

from __future__ import annotations

from typing import ClassVar

from sbnet.methods.base import register
from sbnet.segmenters.base import DecoderMethod


@register
class UPerNet(DecoderMethod):
    name = "upernet"
    title = "UPerNet"
    about = "feature pyramid with pooled context"
    paper = "Xiao et al., ECCV 2018"
    networks: ClassVar = {"upernet": "sbnet.segmenters.upernet.network:UPerNet"}
