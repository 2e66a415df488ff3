"""From an image's bytes to what a network was trained on."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

Bounded = Annotated[float, Field(ge=-1e6, le=1e6)]
Width = Annotated[float, Field(ge=1e-6, le=1e6)]
Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Normalization:
    """`(image * scale - mean) / std` per channel, with `mean` and `std` in units of `image * scale`. The network's
    channels are RGB, or BGR where `bgr` is set; so are `mean` and `std`.
    """

    mean: tuple[Bounded, Bounded, Bounded]
    std: tuple[Width, Width, Width] = (1.0, 1.0, 1.0)
    scale: Annotated[float, Field(ge=1e-9, le=1e6)] = 1 / 255
    bgr: bool = False

    def __call__(self, image: Tensor) -> Tensor:
        """(..., 3, H, W) RGB, uint8 or float in 0..255 -> float32 of the same shape."""
        values = image.flip(-3) if self.bgr else image
        mean, std = (_on_device(triple, image.device) for triple in (self.mean, self.std))
        return values.to(torch.float32, copy=True).mul_(self.scale).sub_(mean).div_(std)


@functools.lru_cache(maxsize=32)
def _on_device(triple: Triple, device: torch.device) -> Tensor:
    """(3, 1, 1). Copied once: each copy to a GPU waits until the GPU has finished what it was given before."""
    with torch.inference_mode(False):  # trainings may use what an inference made
        return torch.tensor(triple, device=device).view(3, 1, 1)


IMAGENET = Normalization(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
CAFFE = Normalization(mean=(104.008, 116.669, 122.675), scale=1.0, bgr=True)
