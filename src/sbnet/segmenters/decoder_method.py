"""Methods whose decoder is segmentation-models-pytorch's (extra `smp`). Imports no PyTorch."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from sbnet.segmenters.base import SegmenterMethod, SegmenterSettings


class DecoderSettings(SegmenterSettings):
    channels: Annotated[int, Field(ge=0, le=2**16)] = 0
    """Of the decoder; 0 for what suits the backbone."""


class DecoderMethod(SegmenterMethod):
    Settings = DecoderSettings

    def options(self, settings: DecoderSettings) -> dict[str, Any]:
        channels = {"channels": settings.channels} if settings.channels else {}
        return {"scales": settings.scales, **channels}
