"""Antialiased shapes with their exact silhouette, for the things in the built-in scenes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from sbnet.data.synthetic.scene_textures import FloatArray

SUPERSAMPLE = 3
Point = tuple[float, float]
Points = Sequence[Point] | NDArray[np.float64]


class Pen:
    """Draws shapes given in a thing's units on a supersampled canvas, with their common silhouette.

    `matrix` (2, 2) and `shift` (2,) take units to picture pixels (x, y) on the canvas, `size` (h, w).
    """

    def __init__(
        self, size: tuple[int, int], matrix: NDArray[np.float64], shift: NDArray[np.float64]
    ) -> None:
        canvas = (size[1] * SUPERSAMPLE, size[0] * SUPERSAMPLE)
        self._matrix, self._shift = matrix * SUPERSAMPLE, shift * SUPERSAMPLE
        self._picture, self._cover = Image.new("RGB", canvas), Image.new("L", canvas)
        self._draw, self._draw_cover = ImageDraw.Draw(self._picture), ImageDraw.Draw(self._cover)
        self._unit = math.sqrt(abs(np.linalg.det(self._matrix)))

    def shape(self, points: Points, colour: FloatArray) -> None:
        """A filled polygon."""
        corners = (np.asarray(points) @ self._matrix.T + self._shift).ravel().tolist()
        self._draw.polygon(corners, fill=_rgb(colour))
        self._draw_cover.polygon(corners, fill=255)

    def blob(self, points: Points, colour: FloatArray) -> None:
        """A filled smooth shape through the points (closed Catmull-Rom spline)."""
        self.shape(_spline(np.asarray(points, np.float64)), colour)

    def ellipse(self, centre: Point, radii: Point, colour: FloatArray) -> None:
        """A filled ellipse."""
        turn = np.linspace(0, 2 * math.pi, 40, endpoint=False)
        self.shape(np.stack([np.cos(turn), np.sin(turn)], 1) * radii + centre, colour)

    def line(self, points: Points, width: float, colour: FloatArray) -> None:
        """A line `width` units thick with round joints."""
        places = np.asarray(points) @ self._matrix.T + self._shift
        thick = max(1, round(width * self._unit))
        for draw, fill in ((self._draw, _rgb(colour)), (self._draw_cover, 255)):
            draw.line(places.ravel().tolist(), fill=fill, width=thick, joint="curve")

    def finish(self) -> tuple[FloatArray, FloatArray]:
        """Colour times coverage (h, w, 3) and coverage (h, w) in [0, 1] at the picture's resolution."""
        colour = np.asarray(self._picture.reduce(SUPERSAMPLE), np.float32)
        cover = np.asarray(self._cover.reduce(SUPERSAMPLE), np.float32)
        return colour / np.float32(255), cover / np.float32(255)


def _rgb(colour: FloatArray) -> tuple[int, int, int]:
    red, green, blue = (int(c) for c in np.clip(colour * 255, 0, 255))
    return red, green, blue


def _spline(points: NDArray[np.float64], steps: int = 8) -> NDArray[np.float64]:
    before, after, beyond = np.roll(points, 1, 0), np.roll(points, -1, 0), np.roll(points, -2, 0)
    t = (np.arange(steps) / steps)[None, :, None]
    a, b, c, d = (p[:, None] for p in (before, points, after, beyond))
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    return curve.reshape(-1, 2)
