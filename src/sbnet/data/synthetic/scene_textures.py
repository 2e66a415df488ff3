"""Backgrounds of the built-in scenes: fractal noise made into skies, walls and grounds.

Pictures are float32 (H, W, 3), RGB in [0, 1]. Everything is drawn from the generator that is passed in.
"""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

FloatArray = NDArray[np.float32]
TILE = 256  # side of the noise tile that grounds are looked up in, pixels


def hsv(hue: float, saturation: float, value: float) -> FloatArray:
    """RGB (3,) of a hue (turns, wraps around), saturation and value in [0, 1]."""
    return np.array(colorsys.hsv_to_rgb(hue % 1.0, saturation, value), np.float32)


def enlarge(picture: FloatArray, height: int, width: int) -> FloatArray:
    """Bicubic resize of (h, w) to (height, width)."""
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC))


def fractal(
    rng: np.random.Generator,
    height: int,
    width: int,
    *,
    cells: tuple[int, ...] = (64, 32, 16, 8, 4, 2),
    persistence: float = 0.6,
    stretch: float = 1.0,
) -> FloatArray:
    """Noise of several octaves (H, W), mean 0, deviation 1.

    `cells`: the octaves' grains in pixels, coarse first; each is `persistence` times weaker than the last.
    `stretch` makes the grain that much wider than high.
    """
    total, weight = np.zeros((height, width), np.float32), 1.0
    for cell in cells:
        rows, columns = height // cell + 2, int(width / (cell * stretch)) + 2
        grid = rng.standard_normal((rows, columns), dtype=np.float32)
        total += weight * enlarge(grid, height, width)
        weight *= persistence
    total -= total.mean()
    return total / (total.std() + 1e-6)


def tint(value: FloatArray, dark: FloatArray, light: FloatArray) -> FloatArray:
    """(H, W) -> (H, W, 3): from `dark` at 0 to `light` at 1, colours beyond for values beyond."""
    return dark + value[..., None] * (light - dark)


# The upper part of a picture: everything behind the horizon, (rng, height, width) -> (H, W, 3).


def _sky(rng: np.random.Generator, height: int, width: int) -> FloatArray:
    hue = rng.choice([0.57, 0.60, 0.62])
    top = hsv(hue, rng.uniform(0.35, 0.7), rng.uniform(0.65, 0.9))
    low = hsv(hue, rng.uniform(0.05, 0.2), 0.95)
    if rng.random() < 0.2:  # towards sunset
        low = hsv(rng.uniform(0.04, 0.1), rng.uniform(0.3, 0.5), 0.95)
    fall = np.linspace(0.0, 1.0, height, dtype=np.float32)[:, None].repeat(width, 1)
    sky = tint(fall, top, low)
    clouds = fractal(rng, height, width, cells=(48, 24, 12, 6), persistence=0.55, stretch=2.0)
    cover = np.clip((clouds - rng.uniform(-0.3, 1.5)) * 0.9, 0.0, 0.9)[..., None]
    return sky * (1 - cover) + cover * rng.uniform(0.85, 0.98)


def _hills(rng: np.random.Generator, height: int, width: int) -> FloatArray:
    """A sky with one to three ridges, the farther the hazier."""
    picture = _sky(rng, height, width)
    haze = picture[-1].mean(0)
    ridges = int(rng.integers(1, 4))
    rows = np.arange(height, dtype=np.float32)[:, None]
    hue = rng.uniform(0.2, 0.42)
    for ridge in range(ridges):
        near = (ridge + 1) / ridges
        line = height * (1 - rng.uniform(0.2, 0.5) / (ridge + 1))
        profile = line + 0.06 * height * fractal(rng, 4, width, cells=(64, 32, 8, 4, 2))[:1]
        cover = np.clip(rows - profile, 0.0, 1.0)[..., None]
        grain = 0.5 + 0.25 * fractal(rng, height, width, cells=(8, 4, 2), persistence=0.9)
        colour = hsv(hue, 0.45, 0.3 + 0.1 * rng.random())
        ground = tint(grain, colour * 0.75, colour * 1.25) * near + haze * (1 - near) * 0.9
        picture = picture * (1 - cover) + ground * cover
    return picture


def _forest(rng: np.random.Generator, height: int, width: int) -> FloatArray:
    """Leaves out of focus, with light spots."""
    grain = fractal(rng, height, width, cells=(40, 20, 10, 5), persistence=0.7)
    hue = rng.uniform(0.2, 0.38)
    picture = tint(0.45 + 0.25 * grain, hsv(hue, 0.6, 0.12), hsv(hue - 0.04, 0.55, 0.6))
    light = np.clip(fractal(rng, height, width, cells=(16, 8), persistence=0.6) - 1.4, 0.0, 1.0)[..., None]
    return picture + 0.5 * light * hsv(0.17, 0.25, 1.0)


def _bricks(rng: np.random.Generator, height: int, width: int) -> FloatArray:
    high = int(rng.integers(6, 11))
    wide = int(high * rng.uniform(2.0, 2.8))
    row, column = np.indices((height, width), dtype=np.int32)
    course = row // high
    column = column + (course % 2) * (wide // 2)
    tone = rng.uniform(0.25, 0.75, (height // high + 1, width // wide + 2)).astype(np.float32)
    joint = ((row % high) < 1) | ((column % wide) < 1)
    hue, saturation = rng.choice([0.02, 0.05, 0.09]), rng.uniform(0.15, 0.6)
    grain = 0.12 * fractal(rng, height, width, cells=(32, 4, 2), persistence=0.9)
    value = tone[course, column // wide] + grain
    picture = tint(value, hsv(hue, saturation, 0.32), hsv(hue, saturation, 0.72))
    mortar = hsv(hue, 0.1, rng.uniform(0.45, 0.75)) + 0.2 * grain[..., None]
    return np.where(joint[..., None], mortar, picture)


def _plaster(rng: np.random.Generator, height: int, width: int) -> FloatArray:
    colour = hsv(rng.random(), rng.uniform(0.05, 0.25), rng.uniform(0.55, 0.9))
    grain = fractal(rng, height, width, cells=(64, 32, 4, 2, 1), persistence=0.75)
    return tint(0.5 + 0.25 * grain, colour * 0.85, colour * 1.1)


BACKDROPS = (_sky, _hills, _forest, _bricks, _plaster)

# The ground: (hue, saturation, dark value, light value, grain cells, stretch), each a range or a constant.
_Range = tuple[float, float]
GROUNDS: dict[str, tuple[_Range, _Range, _Range, tuple[int, ...], float]] = {
    "grass": ((0.20, 0.33), (0.45, 0.70), (0.16, 0.62), (64, 8, 4, 2, 1), 0.5),
    "sand": ((0.09, 0.13), (0.20, 0.45), (0.58, 0.88), (64, 16, 4, 2, 1), 3.0),
    "water": ((0.50, 0.62), (0.30, 0.60), (0.28, 0.78), (32, 16, 8, 4), 5.0),
    "snow": ((0.58, 0.62), (0.02, 0.10), (0.74, 0.98), (64, 32, 8, 2), 2.0),
    "asphalt": ((0.05, 0.65), (0.02, 0.10), (0.30, 0.56), (64, 4, 2, 1), 1.0),
    "earth": ((0.04, 0.10), (0.30, 0.55), (0.18, 0.58), (32, 8, 4, 2, 1), 1.0),
}


def _mirrored(place: NDArray[np.floating]) -> NDArray[np.int32]:
    """Places on an endless line as indices into the tile, to and fro, so that no edge shows."""
    return np.minimum(place % (2 * TILE), 2 * TILE - 1 - place % (2 * TILE)).astype(np.int32)


def ground(rng: np.random.Generator, kind: str, height: int, width: int) -> FloatArray:
    """A plane that runs from the picture's lower edge to the horizon, (H, W, 3); row 0 is the farthest."""
    hues, saturations, (low, high), cells, stretch = GROUNDS[kind]
    tile = fractal(rng, TILE, TILE, cells=cells, persistence=0.85, stretch=stretch)
    near = np.linspace(0.12, 1.0, height, dtype=np.float32)[:, None]  # 1 / distance
    across = np.arange(width, dtype=np.float32)[None] - width / 2
    row = _mirrored(120.0 / (near + 0.12))
    column = _mirrored(across / (near * 0.75 + 0.25) + TILE / 2)
    grain = tile[row, column] * (0.25 + 0.75 * near)
    hue, saturation = rng.uniform(*hues), rng.uniform(*saturations)
    value = 0.5 + 0.22 * ndimage.gaussian_filter(grain, 0.5)
    return tint(value, hsv(hue, saturation, low), hsv(hue, saturation * 0.8, high))


def background(rng: np.random.Generator, height: int, width: int) -> tuple[FloatArray, int]:
    """A landscape or a wall with its floor: (H, W, 3) and the horizon's row."""
    horizon = int(height * rng.uniform(0.22, 0.55))
    backdrop = BACKDROPS[rng.integers(len(BACKDROPS))](rng, horizon + 2, width)
    plane = ground(rng, str(rng.choice(list(GROUNDS))), height - horizon, width)
    return np.concatenate([backdrop[:horizon], plane]).astype(np.float32), horizon
