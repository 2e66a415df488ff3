"""SegFormer's decoder (Xie et al., NeurIPS 2021)."""

from __future__ import annotations

from typing import ClassVar

from sbnet.methods.base import register
from sbnet.segmenters.base import DecoderMethod


@register
class SegFormer(DecoderMethod):
    name = "segformer"
    title = "SegFormer's decoder"
    about = "linear layers over four features"
    paper = "Xie et al., NeurIPS 2021"
    networks: ClassVar = {"segformer": "sbnet.segmenters.segformer.network:SegFormer"}
