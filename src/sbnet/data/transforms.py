"""Training augmentation: random size, crop, mirror image and colours, for a photo and its label alike.

Shapes: H x W pixels of the photo; crop: side of the square that training sees.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as v2

from sbnet.data import IGNORE


class Box(NamedTuple):
    """Pixels `top : top + height`, `left : left + width`."""

    top: int
    left: int
    height: int
    width: int


class Sample(NamedTuple):
    """One crop, in a canvas that is empty outside `box`.

    `image` (3, crop, crop) float32 normalised, outside 0; `label` (crop, crop) uint8, outside 255;
    `photo` (crop, crop, 3) uint8: the image before normalisation, outside 0.
    """

    image: Tensor
    label: Tensor | None
    photo: np.ndarray
    box: Box


class TrainTransform:
    """Resize, crop, mirror, colour jitter, normalise, place in a canvas of normalised zeros.

    crop: pixels. long_side: inclusive range of the photo's longer side after resizing, pixels; or, instead,
    scale: range of the factor on both sides. mirror: probability. jitter: reach of brightness, contrast and
    saturation (factors 1 - reach to 1 + reach) and of hue (turns, up to 0.5), or None. normalization: uint8
    RGB (3, H, W) -> float32. Draws from the passed generator alone: equal generators give equal samples.
    """

    def __init__(
        self,
        *,
        crop: int,
        normalization: Callable[[Tensor], Tensor],
        long_side: tuple[int, int] | None = None,
        scale: tuple[float, float] | None = None,
        mirror: float = 0.5,
        jitter: tuple[float, float, float, float] | None = (0.3, 0.3, 0.3, 0.1),
    ) -> None:
        if (long_side is None) == (scale is None):
            raise ValueError("give either long_side or scale")
        self.crop, self.long_side, self.scale = crop, long_side, scale
        self.mirror, self.jitter, self.normalization = mirror, jitter, normalization

    def __call__(
        self,
        photo: np.ndarray,
        label: np.ndarray | None = None,
        *,
        generator: np.random.Generator | None = None,
    ) -> Sample:
        """`photo` (H, W, 3) and `label` (H, W), both uint8; without a generator every call differs."""
        rng = generator or np.random.default_rng()
        size = self._size(photo.shape[0], photo.shape[1], rng)
        crop, canvas = _crop_and_canvas(size, self.crop, rng)
        flip = rng.random() < self.mirror

        image = tv_tensors.Image(torch.from_numpy(photo).permute(2, 0, 1))
        image = v2.resize(image, list(size), interpolation=InterpolationMode.BICUBIC, antialias=True)
        image = _cut(image, crop, flip)
        if self.jitter is not None:
            image = _jitter(image, self.jitter, rng)
        target = None
        if label is not None:
            target = _canvas(_cut(_resize_label(label, size), crop, flip), canvas, self.crop, fill=IGNORE)[0]
        return Sample(
            _canvas(self.normalization(image.as_subclass(Tensor)), canvas, self.crop, fill=0),
            target,
            _canvas(image, canvas, self.crop, fill=0).permute(1, 2, 0).numpy(),
            canvas,
        )

    def _size(self, height: int, width: int, rng: np.random.Generator) -> tuple[int, int]:
        if self.long_side is not None:
            low, high = self.long_side
            factor = int(rng.integers(low, high + 1)) / max(height, width)
        else:
            assert self.scale is not None
            factor = rng.uniform(*self.scale)
        return max(1, round(height * factor)), max(1, round(width * factor))


def _crop_and_canvas(size: tuple[int, int], crop: int, rng: np.random.Generator) -> tuple[Box, Box]:
    """Where to cut the resized photo, and where the cut goes in the canvas; random along either side."""
    height, width = min(size[0], crop), min(size[1], crop)
    cut = [int(rng.integers(side - kept + 1)) for side, kept in zip(size, (height, width), strict=True)]
    place = [int(rng.integers(crop - kept + 1)) for kept in (height, width)]
    return Box(cut[0], cut[1], height, width), Box(place[0], place[1], height, width)


def _cut(image: Tensor, box: Box, flip: bool) -> Tensor:
    image = v2.crop(image, *box)
    return v2.horizontal_flip(image) if flip else image


def _resize_label(label: np.ndarray, size: tuple[int, int]) -> Tensor:
    """Nearest pixel by centres, as the photo is resized; v2's own resize of a Mask is half a pixel off."""
    plain = torch.from_numpy(label)[None]
    return tv_tensors.Mask(v2.resize(plain, list(size), interpolation=InterpolationMode.NEAREST_EXACT))


def _jitter(image: Tensor, reach: tuple[float, float, float, float], rng: np.random.Generator) -> Tensor:
    """Brightness, contrast, saturation and hue in random order, by Pillow, whose hue is twice as fast.

    After the crop, not before as in the reference, for it costs by the pixel. All but contrast act on each
    pixel alone and so commute with the crop; contrast is about the mean grey, here of the crop alone.
    """
    brightness, contrast, saturation = (rng.uniform(max(0.0, 1 - r), 1 + r) for r in reach[:3])
    hue = rng.uniform(-reach[3], reach[3])
    steps: list[tuple[Callable[[Image.Image, float], Image.Image], float]] = [
        (v2.adjust_brightness, brightness),
        (v2.adjust_contrast, contrast),
        (v2.adjust_saturation, saturation),
        (v2.adjust_hue, hue),
    ]
    picture = Image.fromarray(np.ascontiguousarray(image.permute(1, 2, 0).numpy()))
    for position in rng.permutation(len(steps)):
        adjust, factor = steps[position]
        picture = adjust(picture, factor)
    return tv_tensors.Image(torch.from_numpy(np.array(picture)).permute(2, 0, 1))


def _canvas(image: Tensor, box: Box, crop: int, *, fill: int) -> Tensor:
    """(D, h, w) -> (D, crop, crop), `fill` outside the box."""
    canvas = torch.full((image.shape[0], crop, crop), fill, dtype=image.dtype)
    canvas[:, box.top : box.top + box.height, box.left : box.left + box.width] = image.as_subclass(Tensor)
    return canvas
