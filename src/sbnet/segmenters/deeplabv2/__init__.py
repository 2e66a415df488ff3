"""DeepLab v2, or DeepLab v1's head as SEAM retrains on ResNet-38 (Chen et al., TPAMI 2018)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from sbnet.methods.base import register
from sbnet.segmenters.base import SegmenterMethod, SegmenterSettings


class DeepLabSettings(SegmenterSettings):
    head: Literal["pyramid", "large_fov"] = "pyramid"
    """`pyramid` (DeepLab v2), or `large_fov` (DeepLab v1)."""


@register
class DeepLabV2(SegmenterMethod):
    name = "deeplabv2"
    title = "DeepLab v2"
    about = "atrous spatial pyramid"
    paper = "Chen et al., TPAMI 2018"
    Settings = DeepLabSettings
    networks: ClassVar = {"deeplabv2": "sbnet.segmenters.deeplabv2.network:DeepLab"}

    def options(self, settings: DeepLabSettings) -> dict[str, Any]:
        return {"scales": settings.scales, "head": settings.head}
