"""Random brightness, contrast, saturation and hue: drawn once, applied by Pillow or as one matrix.

Shapes: an image is (H, W, 3) uint8 RGB.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from PIL import Image
from torchvision.transforms.v2 import functional as v2

GREY = np.array([0.299, 0.587, 0.114])  # ITU-R 601, Pillow's mode L
STEPS = ("brightness", "contrast", "saturation", "hue")


class Jitter(NamedTuple):
    """Factors of brightness, contrast and saturation, 1 for none; hue in turns; `order`: positions in `STEPS`."""

    brightness: float
    contrast: float
    saturation: float
    hue: float
    order: tuple[int, ...]


def draw_jitter(reach: tuple[float, float, float, float], rng: np.random.Generator) -> Jitter:
    """As torchvision's ColorJitter. reach: of brightness, contrast and saturation (factors 1 - reach to 1 + reach) and of
    hue (turns, -reach to reach, up to 0.5). In random order.
    """
    brightness, contrast, saturation = (rng.uniform(max(0.0, 1 - r), 1 + r) for r in reach[:3])
    hue = rng.uniform(-reach[3], reach[3])
    return Jitter(brightness, contrast, saturation, hue, tuple(rng.permutation(len(STEPS)).tolist()))


def jitter_in_steps(picture: Image.Image, jitter: Jitter) -> Image.Image:
    """The four in turn, by Pillow, each rounded and clipped to 0..255. Contrast is about the picture's mean grey."""
    for position in jitter.order:
        adjust = getattr(v2, f"adjust_{STEPS[position]}")
        picture = adjust(picture, jitter[position])
    return picture


def jitter_by_matrix(picture: Image.Image, jitter: Jitter, mean: np.ndarray) -> Image.Image:
    """The four as one affine map of each pixel's colour, rounded and clipped once, at the end: see `colour_matrix`."""
    return picture.convert("RGB", tuple(colour_matrix(jitter, mean).ravel().tolist()))


def colour_matrix(jitter: Jitter, mean: np.ndarray) -> np.ndarray:
    """(3, 4): factors and offset of RGB in 0..255; `mean` (3,) the colour about whose grey contrast is changed.

    Brightness, contrast and saturation are affine, so exact but for the clipping and rounding after each step that
    is left out. Hue is a rotation about the grey axis: it keeps the mean of R, G and B, where a shift in HSV
    keeps their maximum and minimum. The two agree at thirds of a turn, and nearly for pale colours, at which most
    images' pixels are.
    """
    change = np.hstack([np.eye(3), np.zeros((3, 1))])
    for position in jitter.order:
        step = STEPS[position]
        if step == "brightness":
            change *= jitter.brightness
        elif step == "contrast":
            grey = GREY @ (change @ np.append(mean, 1.0))
            change *= jitter.contrast
            change[:, 3] += (1 - jitter.contrast) * grey
        elif step == "saturation":
            change = (jitter.saturation * np.eye(3) + (1 - jitter.saturation) * GREY) @ change
        else:
            change = _rotation(jitter.hue) @ change
    return change


def _rotation(turns: float) -> np.ndarray:
    """(3, 3) about the grey axis, red towards green (Rodrigues' formula)."""
    cosine, sine = math.cos(2 * math.pi * turns), math.sin(2 * math.pi * turns) / math.sqrt(3)
    rest = (1 - cosine) / 3
    red = np.array(
        [cosine + rest, rest + sine, rest - sine]
    )  # where red goes; green and blue follow it round
    return np.stack([np.roll(red, shift) for shift in range(3)], axis=1)
