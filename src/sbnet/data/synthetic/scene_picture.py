"""One picture of the built-in scenes, from layout to exposure.

A textured background with a horizon, one to three objects that may hide each other, distractors, shadows,
light from one side, lens blur and sensor noise. H x W pixels; class 0 is the background.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from sbnet.data.synthetic.scene_objects import DISTRACTORS, OBJECTS, Drawing, Pen
from sbnet.data.synthetic.scene_textures import FloatArray, background, enlarge, fractal, hsv
from sbnet.errors import SBNetError

CLASSES: tuple[str, ...] = ("background", *OBJECTS)
SIZE = (144, 192)
# Hues of the plain parts, more earth than neon.
HUES = (0.02, 0.05, 0.08, 0.11, 0.15, 0.3, 0.42, 0.52, 0.58, 0.63, 0.8, 0.95)
SMALLEST_AREA = 0.04  # of the picture, for what is seen of an object


class _Thing(NamedTuple):
    """One thing drawn, on a canvas of its own (h, w)."""

    row: int  # where the canvas starts in the picture
    column: int
    colour: FloatArray  # (h, w, 3), times coverage
    cover: FloatArray
    shadow: FloatArray
    label: int  # class id, 0 for a distractor
    foot: float  # the row it stands on


def scene(
    seed: int, index: int, *, size: tuple[int, int] = SIZE
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], tuple[str, ...]]:
    """Scene `index` of the endless series `seed`: image (H, W, 3), mask (H, W) of class ids, its class names.

    Equal arguments give equal bytes. Every object shows at least 4 % of the picture.
    Raises `SBNetError` for a `size` (height, width) that is too small or too long.
    """
    height, width = size
    if min(size) < 48 or not 0.4 <= width / height <= 2.5:
        raise SBNetError(
            f"scenes of {height} x {width} pixels cannot be drawn: choose a height and width of 48 or more, "
            "neither more than 2.5 times the other"
        )
    attempt = 0
    while True:  # about eight layouts in ten will do
        photo, mask, visible = _compose(np.random.default_rng([seed, index, attempt]), size)
        if min(visible) >= SMALLEST_AREA * mask.size:
            return photo, mask, tuple(CLASSES[i] for i in np.unique(mask) if i)
        attempt += 1


def _compose(
    rng: np.random.Generator, size: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], list[int]]:
    """One try: image, mask and the visible pixels of each object."""
    height, width = size
    picture, horizon = background(rng, height, width)
    light = rng.choice([-1.0, 1.0]) * rng.uniform(0.3, 1.0)  # the sun: from the left or right, high to low
    count = int(rng.choice([1, 2, 3], p=[0.4, 0.4, 0.2]))
    labels = [*rng.integers(1, len(CLASSES), count), *[0] * int(rng.integers(0, 5))]
    things = [_place(rng, picture, horizon, light, label=int(label)) for label in labels]
    things.sort(key=lambda thing: thing.foot)  # what stands nearer is painted later
    owner = np.full(size, -1, np.int32)
    for number, thing in enumerate(things):
        _paint(picture, owner, thing, number)
    label_of = np.array([thing.label for thing in things] + [0], np.uint8)  # the last: nobody's, owner -1
    visible = [int((owner == n).sum()) for n, thing in enumerate(things) if thing.label]
    return _expose(rng, picture, light), label_of[owner], visible


def _paint_colour(rng: np.random.Generator, near: FloatArray) -> FloatArray:
    """A colour for a plain part, drawn the same way for every class, that stands off from `near` (3,)."""
    hues = rng.choice(HUES, 8) + rng.normal(0.0, 0.02, 8)
    choices = [hsv(hue, rng.uniform(0.05, 0.65), rng.uniform(0.25, 0.9)) for hue in hues]
    far = [colour for colour in choices if np.abs(colour - near).sum() > 0.45]
    return (far or choices)[0]


def _place(
    rng: np.random.Generator, picture: FloatArray, horizon: int, light: float, *, label: int
) -> _Thing:
    """Draws an object (or, label 0, a distractor) with a random place, scale, turn, mirroring and colour."""
    height, width = picture.shape[:2]
    name = CLASSES[label] if label else str(rng.choice(list(DISTRACTORS)))
    drawing: Drawing = OBJECTS[name] if label else DISTRACTORS[name]
    unit = (rng.uniform(0.28, 0.5) if label else rng.uniform(0.06, 0.2)) * min(height, 0.75 * width)
    foot = rng.uniform(max(0.55 * height, horizon + 0.1 * height, 1.65 * unit), height)
    x = rng.uniform(0.12, 0.88) * width
    turn = rng.normal(0.0, 0.1)
    if name == "fish":
        turn = rng.normal(0.0, 0.35)
    cosine, sine = math.cos(turn), math.sin(turn)
    mirror, narrow = rng.choice([-1.0, 1.0]), rng.uniform(0.88, 1.12)
    matrix = unit * np.array([[cosine, -sine], [sine, cosine]]) @ np.diag([mirror * narrow, 1 / narrow])
    side, above = math.ceil(1.6 * unit) + 2, math.ceil(2.6 * unit) + 2
    below = math.ceil(0.8 * unit) + 2
    pen = Pen((above + below, 2 * side), matrix, np.array([side + x % 1, above + foot % 1]))
    row, column = int(foot) - above, int(x) - side
    behind = picture[max(0, row) : int(foot) + 1, max(0, column) : column + 2 * side].mean((0, 1))
    drawing(pen, rng, _paint_colour(rng, behind))
    colour, cover = pen.finish()
    shaded = _shade(rng, colour, cover, light, unit)
    return _Thing(row, column, shaded, cover, _shadow(cover, above, light), label, foot)


def _shade(
    rng: np.random.Generator, colour: FloatArray, cover: FloatArray, light: float, unit: float
) -> FloatArray:
    """Roundness from the blurred silhouette, and a faint grain, equal for all classes."""
    height, width = cover.shape
    relief = ndimage.gaussian_filter(cover, max(1.0, unit / 6))
    down, right = np.gradient(relief)
    slope = (light * right + 0.8 * down) * unit / 3
    grain = fractal(rng, height, width, cells=(24, 8, 3), persistence=0.7)
    return colour * np.clip(1 + 0.9 * slope + 0.05 * grain, 0.35, 1.5)[..., None]


def _shadow(cover: FloatArray, foot: int, light: float) -> FloatArray:
    """Darkness (h, w) in [0, 1] that the thing throws on the ground: its silhouette laid flat, soft."""
    flat = 0.28
    lean = -0.8 * light  # away from the light
    # PIL asks where an output pixel comes from: above the foot's row all is `flat` times as high, and leans.
    data = (1.0, lean, -lean * foot, 0.0, 1 / flat, foot - foot / flat)
    shape = (cover.shape[1], cover.shape[0])
    laid = Image.fromarray(cover).transform(shape, Image.Transform.AFFINE, data, Image.Resampling.BILINEAR)
    return np.asarray(ndimage.gaussian_filter(np.asarray(laid), 2.0))


def _paint(picture: FloatArray, owner: NDArray[np.int32], thing: _Thing, number: int) -> None:
    """Lays a thing over the picture, shadow first; a pixel that it covers at least by half is its own."""
    height, width = owner.shape
    rows, columns = thing.cover.shape
    top, left = max(0, thing.row), max(0, thing.column)
    bottom, right = min(height, thing.row + rows), min(width, thing.column + columns)
    part = np.s_[top - thing.row : bottom - thing.row, left - thing.column : right - thing.column]
    whole = np.s_[top:bottom, left:right]
    cover = thing.cover[part]
    lit = picture[whole] * (1 - 0.5 * thing.shadow[part])[..., None]
    picture[whole] = lit * (1 - cover)[..., None] + thing.colour[part]
    owner[whole][cover >= 0.5] = number


def _expose(rng: np.random.Generator, picture: FloatArray, light: float) -> NDArray[np.uint8]:
    """Light that falls off across the picture, white balance, contrast, lens blur, sensor noise; to uint8."""
    height, width = picture.shape[:2]
    across = np.linspace(-1, 1, width, dtype=np.float32) * light * rng.uniform(-0.15, 0.0)
    fall = 1 + across[None] + rng.uniform(-0.1, 0.1) * np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    dapple = 1 + 0.05 * enlarge(rng.standard_normal((4, 5), dtype=np.float32), height, width)
    balance = rng.normal(1.0, 0.03, 3).astype(np.float32) * rng.uniform(0.9, 1.1)
    exposed = np.clip(picture * (fall * dapple)[..., None] * balance, 0.0, 1.2)
    blur = rng.uniform(0.35, 0.7)
    exposed = ndimage.gaussian_filter(exposed, (blur, blur, 0))
    noise = rng.standard_normal(exposed.shape, dtype=np.float32) * rng.uniform(0.008, 0.02)
    return np.clip((exposed + noise) * 255 + 0.5, 0, 255).astype(np.uint8)
