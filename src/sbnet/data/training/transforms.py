"""Training augmentation: random size, crop, mirror image and colours, for an image and its label alike.

Shapes: H x W pixels of the image; crop: side of the square that training sees.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from sbnet.data import IGNORE
from sbnet.data.training.colours import Jitter, draw_jitter, jitter_by_matrix, jitter_in_steps

Size = tuple[int, int]  # height, width
JITTER = (0.3, 0.3, 0.3, 0.1)  # reach of brightness, contrast, saturation, hue: SEAM's and AffinityNet's


class Box(NamedTuple):
    """Pixels `top : top + height`, `left : left + width`."""

    top: int
    left: int
    height: int
    width: int

    def of(self, pixels: np.ndarray) -> np.ndarray:
        """The view of these pixels (H, W, ...)."""
        return pixels[self.top : self.top + self.height, self.left : self.left + self.width]


class Plan(NamedTuple):
    """All that is random in a sample. size: of the whole image after resizing; cut: what is kept of it, and `box`
    where that goes in the canvas; mirror: left for right; jitter: the change of colours, or None.
    """

    size: Size
    cut: Box
    box: Box
    mirror: bool
    jitter: Jitter | None


class Sample(NamedTuple):
    """One crop, in a canvas that is empty outside `box`.

    `photo` (crop, crop, 3) uint8, outside 0; `label` (crop, crop) uint8, outside 255.
    """

    photo: np.ndarray
    label: Tensor | None
    box: Box


class TrainTransform:
    """Resize, crop, mirror, colour jitter, in a canvas that is empty where the image is smaller than the crop.

    crop: pixels. long_side: inclusive range of the longer side after resizing, pixels; or scale: range of the factor on
    both sides. mirror: probability. jitter: see `draw_jitter`; None for none. augmentation: `fast` (colours by one
    matrix, large JPEGs decoded smaller) or `exact` (Pillow's four operations in turn); both draw the same.
    """

    def __init__(
        self,
        *,
        crop: int,
        long_side: tuple[int, int] | None = None,
        scale: tuple[float, float] | None = None,
        mirror: float = 0.5,
        jitter: tuple[float, float, float, float] | None = JITTER,
        augmentation: Literal["fast", "exact"] = "fast",
    ) -> None:
        if (long_side is None) == (scale is None):
            raise ValueError("give either long_side or scale")
        self.crop, self.long_side, self.scale = crop, long_side, scale
        self.mirror, self.jitter, self.augmentation = mirror, jitter, augmentation

    def plan(self, size: Size, generator: np.random.Generator) -> Plan:
        """What happens to an image of this size (H, W): equal generators give equal plans."""
        size = self._size(*size, generator)
        cut, box = _cut_and_box(size, self.crop, generator)
        mirror = bool(generator.random() < self.mirror)
        return Plan(size, cut, box, mirror, draw_jitter(self.jitter, generator) if self.jitter else None)

    def needed(self, plan: Plan) -> Size | None:
        """The size (H, W) that decoding may shrink an image to; None: decode it whole."""
        return plan.size if self.augmentation == "fast" else None

    def __call__(self, photo: np.ndarray, label: np.ndarray | None = None, *, plan: Plan) -> Sample:
        """`photo` (H, W, 3) and `label` (h, w), both uint8, of the same view: each is resized to the plan's size."""
        canvas = np.zeros((self.crop, self.crop, 3), np.uint8)
        plan.box.of(canvas)[:] = self._colours(_warp_photo(photo, plan), plan.jitter, photo)
        target = None if label is None else torch.from_numpy(label_crop(label, plan, self.crop))
        return Sample(canvas, target, plan.box)

    def _colours(self, crop: Image.Image, jitter: Jitter | None, photo: np.ndarray) -> np.ndarray:
        """After the crop, not before as in the reference, for it costs by the pixel.

        All but contrast act on each pixel alone and so commute with the crop. Contrast is about the mean grey of the
        whole image, as in the reference, in the fast mode; of the crop in the exact one.
        """
        if jitter is not None and self.augmentation == "fast":
            mean = torch.from_numpy(photo).flatten(0, 1).float().mean(0).numpy()
            crop = jitter_by_matrix(crop, jitter, mean)
        elif jitter is not None:
            crop = jitter_in_steps(crop, jitter)
        return np.asarray(crop)

    def _size(self, height: int, width: int, rng: np.random.Generator) -> Size:
        if self.long_side is not None:
            low, high = self.long_side
            factor = int(rng.integers(low, high + 1)) / max(height, width)
        else:
            assert self.scale is not None
            factor = rng.uniform(*self.scale)
        return max(1, round(height * factor)), max(1, round(width * factor))


def _cut_and_box(size: Size, crop: int, rng: np.random.Generator) -> tuple[Box, Box]:
    """Where to cut the resized image, and where the cut goes in the canvas; random along either side."""
    height, width = min(size[0], crop), min(size[1], crop)
    cut = [int(rng.integers(side - kept + 1)) for side, kept in zip(size, (height, width), strict=True)]
    place = [int(rng.integers(crop - kept + 1)) for kept in (height, width)]
    return Box(cut[0], cut[1], height, width), Box(place[0], place[1], height, width)


def _warp_photo(photo: np.ndarray, plan: Plan) -> Image.Image:
    """The plan's cut of the image: bicubic, smoothed where it shrinks."""
    # Channels last, for which torch has the fastest code.
    image = torch.from_numpy(photo)[None].permute(0, 3, 1, 2)
    resized = functional.interpolate(image, plan.size, mode="bicubic", antialias=True)
    cut = plan.cut.of(resized[0].permute(1, 2, 0).numpy())
    picture = Image.fromarray(np.ascontiguousarray(cut))
    return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if plan.mirror else picture


def label_crop(label: np.ndarray, plan: Plan, crop: int) -> np.ndarray:
    """(h, w) uint8 -> (crop, crop), outside 255: the nearest pixel by centres, as the image is resized."""
    cut = plan.cut
    rows = _nearest(label.shape[0], plan.size[0])[cut.top : cut.top + cut.height]
    columns = _nearest(label.shape[1], plan.size[1])[cut.left : cut.left + cut.width]
    canvas = np.full((crop, crop), IGNORE, np.uint8)
    plan.box.of(canvas)[:] = label.take(rows, axis=0).take(columns[::-1] if plan.mirror else columns, axis=1)
    return canvas


def _nearest(before: int, after: int) -> np.ndarray:
    """For each of `after` pixels, the one of `before` pixels that holds its centre."""
    return (2 * np.arange(after) + 1) * before // (2 * after)
