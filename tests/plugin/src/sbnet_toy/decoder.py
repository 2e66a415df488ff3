"""A decoder: one convolution over the deepest feature."""

from __future__ import annotations

from typing import ClassVar

from sbnet.segmenters.base import SegmenterMethod


class ToyDecoder(SegmenterMethod):
    name = "toydecoder"
    title = "Toy decoder"
    about = "one convolution"
    networks: ClassVar = {"toydecoder": "sbnet_toy.decoder_network:ToySegmenter"}
