"""The things in the built-in scenes: seven classes, and the distractors that belong to none.

A thing is drawn in its own units: x to the right, y down, standing on y = 0, about two units across.
Each class has a distinctive part (wheels, striped roof, spotted cap, sail, face, ...) and a larger plain part
in `paint`, a colour that is drawn at random for every thing and so tells nothing about its class. A
classifier needs only the distinctive part; the plain part has to be found by its extent and edges.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from sbnet.data.synthetic.scene_pen import Pen
from sbnet.data.synthetic.scene_textures import FloatArray, hsv

# Where a mushroom's cap has its spots: shares of its half width and height.
SPOTS = ((-0.6, 0.2), (-0.3, 0.55), (0.02, 0.25), (0.08, 0.8), (0.4, 0.5), (0.66, 0.2), (-0.12, 0.06))
WHITE, DARK = hsv(0, 0, 0.93), hsv(0.6, 0.2, 0.1)


def _car(pen: Pen, rng: np.random.Generator, paint: FloatArray) -> None:
    roof, tail = rng.uniform(-1.15, -0.95), rng.uniform(-0.95, -0.75)
    rear = [(-1.0, -0.2), (-1.0, -0.6), (tail, roof + 0.05), (tail + 0.1, roof)]
    front = [(0.3, roof), (0.62, -0.66), (0.95, -0.56), (1.02, -0.45), (1.02, -0.2)]
    pen.shape(rear + front, paint)
    glass = hsv(0.58, 0.35, rng.uniform(0.2, 0.4))
    pen.shape([(0.02, roof + 0.09), (0.26, roof + 0.09), (0.5, -0.66), (0.02, -0.66)], glass)
    pen.ellipse((0.97, -0.43), (0.06, 0.06), hsv(0.13, 0.3, 1.0))
    pen.line([(-1.0, -0.2), (1.02, -0.2)], 0.05, DARK)
    rim = hsv(0, 0, rng.uniform(0.65, 0.9))
    for x in (-0.58, 0.58):
        pen.ellipse((x, -0.24), (0.26, 0.26), DARK)
        pen.ellipse((x, -0.24), (0.16, 0.16), rim)
        for turn in np.arange(5) * 2 * math.pi / 5 + rng.random():
            pen.line([(x, -0.24), (x + 0.15 * math.cos(turn), -0.24 + 0.15 * math.sin(turn))], 0.04, DARK)


def _house(pen: Pen, rng: np.random.Generator, paint: FloatArray) -> None:
    half, eaves = rng.uniform(0.65, 0.85), -rng.uniform(0.85, 1.05)
    ridge, top = eaves - rng.uniform(0.42, 0.55), rng.uniform(0.15, 0.5)
    left, right, chimney = half * 0.4, half * 0.6, ridge - 0.15
    pen.shape([(left, eaves), (left, chimney), (right, chimney), (right, eaves)], hsv(0.03, 0.5, 0.45))
    pen.shape([(-half, 0), (-half, eaves), (half, eaves), (half, 0)], paint)
    hue, saturation = rng.choice([0.0, 0.03, 0.6]), rng.uniform(0.5, 0.8)
    rows, wide = 6, half + 0.14
    for row in range(rows):  # courses of tiles, dark and light in turn
        low, high = row / rows, (row + 1) / rows
        y0, y1 = eaves + (ridge - eaves) * low, eaves + (ridge - eaves) * high
        x0, x1 = wide + (top - wide) * low, wide + (top - wide) * high
        pen.shape([(-x0, y0), (-x1, y1), (x1, y1), (x0, y0)], hsv(hue, saturation, 0.75 if row % 2 else 0.4))


def _mushroom(pen: Pen, rng: np.random.Generator, paint: FloatArray) -> None:
    foot, neck, high = rng.uniform(0.5, 0.62), rng.uniform(0.34, 0.44), rng.uniform(1.0, 1.25)
    left = [(-foot * 0.8, 0.0), (-foot, -0.3), (-neck, -high)]
    pen.blob(left + [(-x, y) for x, y in reversed(left)], paint)
    wide, dome = rng.uniform(0.72, 0.85), rng.uniform(0.4, 0.5)
    turn = np.linspace(0, math.pi, 24)
    rim = -high + 0.12
    cap = np.stack([wide * np.cos(turn), rim - dome * np.sin(turn)], 1)
    under = [(-wide * 0.5, rim + 0.07), (wide * 0.5, rim + 0.07)]
    red = hsv(rng.choice([0.0, 0.04, 0.97]), 0.85, rng.uniform(0.6, 0.85))
    pen.shape(np.concatenate([cap, under]), red)
    for x, y in SPOTS:
        size = rng.uniform(0.055, 0.095)
        pen.ellipse((x * wide, rim - y * dome), (size * 1.1, size * 0.85), WHITE)


def _fish(pen: Pen, rng: np.random.Generator, paint: FloatArray) -> None:
    deep, y = rng.uniform(0.42, 0.55), -0.6
    light, dark = hsv(rng.uniform(0.08, 0.14), 0.8, 0.95), hsv(0.62, 0.6, 0.3)
    for step in range(6):  # the tail's rays
        low, high = -0.55 + step * 1.1 / 6, -0.55 + (step + 1) * 1.1 / 6
        end = [(-1.22, y + low), (-1.17, y + (low + high) / 2), (-1.22, y + high)]
        root = [(-0.72, y + 0.1 * high), (-0.72, y + 0.1 * low)]
        pen.shape(end + root, light if step % 2 else dark)
    for step in range(6):  # the back fin's
        x, foot = -0.4 + step * 0.13, y - deep * 0.7
        rise = y - deep * 0.8 - 0.3 * math.sin((step + 1) / 7 * math.pi)
        ray = [(x, foot), (x - 0.08, rise), (x + 0.06, rise), (x + 0.14, foot)]
        pen.shape(ray, dark if step % 2 else light)
    back = [(-0.85, 0.0), (-0.4, -0.75), (0.15, -1.0), (0.7, -0.62), (1.0, 0.0)]
    belly = [(0.7, 0.62), (0.15, 1.0), (-0.4, 0.75)]
    pen.blob([(x, y + deep * rise) for x, rise in back + belly], paint)
    pen.ellipse((0.68, y - 0.12), (0.1, 0.1), WHITE)
    pen.ellipse((0.7, y - 0.12), (0.055, 0.055), DARK)


def _bird(pen: Pen, rng: np.random.Generator, paint: FloatArray) -> None:
    plump, lift = rng.uniform(0.48, 0.58), rng.uniform(-0.05, 0.05)
    for x in (-0.08, 0.16):
        pen.line([(x, -0.35), (x + 0.03, 0.0), (x + 0.16, 0.0)], 0.06, hsv(0.07, 0.8, 0.5))
    tail = [(-1.25, -0.5 + lift), (-1.2, -0.72 + lift)]
    body = [(-0.6, -0.9), (0.1, -1.25), (0.5, -1.1), (0.62, -0.7), (0.35, -0.3), (-0.1, -0.75 + plump)]
    pen.blob([*tail, *body, (-0.6, -0.42)], paint)
    pen.blob([(-0.85, -0.6), (-0.3, -0.9), (0.25, -0.85), (0.15, -0.58), (-0.3, -0.48)], paint * 0.86)
    head, cap = (0.48, -1.22), hsv(rng.choice([0.0, 0.62, 0.75]), 0.7, rng.uniform(0.2, 0.4))
    beak = hsv(rng.uniform(0.06, 0.13), 0.9, 0.95)
    pen.shape([(0.72, -1.33), (1.12, -1.17), (0.72, -1.06)], beak)
    pen.line([(0.72, -1.18), (1.08, -1.17)], 0.03, beak * 0.6)
    pen.ellipse(head, (0.31, 0.29), cap)
    pen.blob([(0.4, -1.15), (0.62, -1.27), (0.78, -1.18), (0.62, -1.0)], WHITE)
    pen.ellipse((0.58, -1.27), (0.075, 0.075), WHITE)
    pen.ellipse((0.6, -1.27), (0.045, 0.045), DARK)


def _boat(pen: Pen, rng: np.random.Generator, paint: FloatArray) -> None:
    deck, bow = -rng.uniform(0.65, 0.8), rng.uniform(1.0, 1.15)
    mast, top = rng.uniform(-0.05, 0.1), deck - rng.uniform(0.95, 1.15)
    sail, stripe = hsv(0.12, 0.08, 0.95), hsv(rng.choice([0.0, 0.58, 0.08]), 0.8, 0.7)
    pen.line([(mast, deck), (mast, top)], 0.07, hsv(0.08, 0.5, 0.3))
    foot, luff, length = deck - 0.12, mast - 0.05, rng.uniform(0.6, 0.75)
    for step in range(5):  # panels of the main sail
        low, high = step / 5, (step + 1) / 5
        y0, y1 = foot + (top - foot) * low, foot + (top - foot) * high
        x0, x1 = luff - length * (1 - low), luff - length * (1 - high)
        pen.shape([(luff, y0), (x0, y0), (x1, y1), (luff, y1)], stripe if step in (1, 3) else sail)
    pen.shape([(mast + 0.06, foot), (mast + 0.06, top + 0.15), (mast + 0.55, foot)], sail * 0.92)
    hull = [(-1.0, deck), (-0.85, -0.2), (-0.6, 0), (0.6, 0), (0.88, -0.25), (bow, deck), (0, deck + 0.04)]
    pen.blob(hull, paint)


def _cat(pen: Pen, rng: np.random.Generator, paint: FloatArray) -> None:
    hips, tip = rng.uniform(0.6, 0.72), rng.uniform(0.5, 0.95)
    tail = [(hips - 0.15, -0.1), (hips + 0.2, -0.12), (hips + 0.34, -tip * 0.5), (hips + 0.28, -tip)]
    pen.line(tail, 0.17, paint)
    pen.ellipse((hips + 0.28, -tip), (0.085, 0.085), paint)
    left = [(-hips * 0.9, -0.02), (-hips, -0.35), (-0.38, -1.0)]
    pen.blob([*left, (0, -1.25), *((-x, y) for x, y in reversed(left)), (0, 0.02)], paint)
    y = -1.3
    for side in (-1, 1):
        pen.shape([(side * 0.06, y - 0.25), (side * 0.34, y - 0.62), (side * 0.42, y - 0.1)], paint * 0.9)
        inside = [(side * 0.15, y - 0.27), (side * 0.31, y - 0.5), (side * 0.36, y - 0.2)]
        pen.shape(inside, hsv(0.97, 0.4, 0.8))
    pen.ellipse((0, y), (0.44, 0.37), paint)
    pen.ellipse((0, y + 0.15), (0.21, 0.16), WHITE)
    iris = hsv(rng.uniform(0.13, 0.35), 0.75, 0.9)
    for side in (-1, 1):
        pen.ellipse((side * 0.19, y - 0.07), (0.115, 0.1), iris)
        pen.ellipse((side * 0.19, y - 0.07), (0.04, 0.09), DARK)
        for drop in (0.1, 0.18):
            pen.line([(side * 0.12, y + 0.13), (side * 0.4, y + drop)], 0.025, DARK)
    pen.shape([(-0.07, y + 0.05), (0.07, y + 0.05), (0, y + 0.13)], hsv(0.97, 0.55, 0.65))


Drawing = Callable[[Pen, np.random.Generator, FloatArray], None]
OBJECTS: dict[str, Drawing] = {
    "bird": _bird,
    "boat": _boat,
    "car": _car,
    "cat": _cat,
    "fish": _fish,
    "house": _house,
    "mushroom": _mushroom,
}


def _stone(pen: Pen, rng: np.random.Generator, paint: FloatArray) -> None:
    turn = np.linspace(0, 2 * math.pi, 9, endpoint=False)
    reach = rng.uniform(0.75, 1.0, 9)
    pen.blob(np.stack([reach * np.cos(turn), 0.55 * reach * np.sin(turn) - 0.5], 1), paint)


def _crate(pen: Pen, rng: np.random.Generator, paint: FloatArray) -> None:
    half, high = rng.uniform(0.5, 0.9), rng.uniform(0.6, 1.1)
    pen.shape([(-half, 0), (-half, -high), (half, -high), (half, 0)], paint)


def _post(pen: Pen, rng: np.random.Generator, paint: FloatArray) -> None:
    wood = hsv(0.08, rng.uniform(0.1, 0.5), rng.uniform(0.25, 0.6))
    half, high = rng.uniform(0.06, 0.14), rng.uniform(1.6, 2.6)
    pen.shape([(-half, 0), (-half, -high), (half, -high), (half, 0)], wood)


def _bush(pen: Pen, rng: np.random.Generator, paint: FloatArray) -> None:
    hue, saturation = rng.uniform(0.2, 0.38), rng.uniform(0.4, 0.7)
    for step in range(90):  # leaves, the later the lighter
        turn, reach = rng.uniform(0, math.pi), math.sqrt(rng.random())
        size = rng.uniform(0.09, 0.2)
        place = (0.85 * reach * math.cos(turn), -0.1 - 0.75 * reach * math.sin(turn))
        leaf = hsv(hue, saturation, 0.15 + 0.35 * step / 90 + 0.1 * rng.random())
        pen.ellipse(place, (size, size * 0.8), leaf)


DISTRACTORS: dict[str, Drawing] = {"stone": _stone, "crate": _crate, "post": _post, "bush": _bush}
