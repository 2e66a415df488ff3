"""Arrays in, small pictures out. All functions are pure; none reads or writes a file.

Legend: H, W an image's size; h, w a thumbnail's; K present classes. Pictures are (h, w, 3) uint8 RGB; labels
uint8 with 0 = background and 255 = ignore.
"""

from __future__ import annotations

import base64
import colorsys
import io

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from sbnet.data import IGNORE
from sbnet.ops.boundaries import label_boundaries, window_boundaries

Picture = NDArray[np.uint8]
Label = NDArray[np.uint8]

_GOLDEN = 0.618034  # of the color circle: the hues of neighboring classes lie far apart


def _bright_colors() -> NDArray[np.uint8]:
    """(256, 3): grey for background, then bright hues, in turn full, pale and deep. VOC's own are for files: half of
    them are too dark to be seen on an image, and lit up several coincide.
    """
    tones = ((0.8, 1.0), (0.5, 1.0), (0.85, 0.85))
    colors = [
        colorsys.hsv_to_rgb(_GOLDEN * (index - 1) % 1, *tones[(index - 1) % 3]) for index in range(1, 256)
    ]
    return (
        np.array([(110, 110, 110), *(np.multiply(255, color) for color in colors)]).round().astype(np.uint8)
    )


COLORS = _bright_colors()
"""(256, 3) uint8: the page's color of each class."""


def thumbnail_size(height: int, width: int, *, side: int) -> tuple[int, int]:
    """(h, w) of an image fitted into `side` x `side` pixels, never enlarged, at least 1 x 1."""
    scale = min(1.0, side / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def shrink_photo(photo: Picture, *, size: tuple[int, int]) -> Picture:
    """(H, W, 3) -> (h, w, 3), each pixel an average of those it covers."""
    return np.asarray(Image.fromarray(photo).resize(size[::-1], Image.Resampling.BOX, reducing_gap=2.0))


def shrink_label(label: NDArray[np.uint8], *, size: tuple[int, int]) -> Label:
    """(H, W) -> (h, w), nearest."""
    return np.asarray(Image.fromarray(label).resize(size[::-1], Image.Resampling.NEAREST))


def shrink_scores(scores: NDArray[np.float32], *, size: tuple[int, int]) -> NDArray[np.float32]:
    """(K, H, W) -> (K, h, w), bilinear; also enlarges scores kept on a coarser grid."""
    maps = [Image.fromarray(np.asarray(one, np.float32)) for one in scores]
    resized = [np.asarray(one.resize(size[::-1], Image.Resampling.BILINEAR)) for one in maps]
    return np.stack(resized) if resized else np.zeros((0, *size), np.float32)


def heat_overlay(photo: Picture, scores: NDArray[np.float32], class_ids: NDArray[np.integer]) -> Picture:
    """Scores (K, h, w) in [0, 1] over the image (h, w, 3): grey where low, the class's color where high.

    Where classes overlap their colors mix in proportion.
    """
    scores = np.clip(np.nan_to_num(scores), 0, 1)
    colors = COLORS[np.asarray(class_ids, np.intp)].astype(np.float32)
    mixed = np.einsum("khw,kc->hwc", scores, colors) / np.maximum(scores.sum(axis=0), 1e-6)[..., None]
    return _tint(_grey(photo), mixed, 0.9 * scores.max(axis=0, initial=0))


def label_overlay(photo: Picture, label: Label) -> Picture:
    """A label (h, w) over the image: classes in their colors with a white outline, background grey, ignored striped."""
    classes = (label != 0) & (label != IGNORE)
    picture = _tint(_grey(photo), COLORS[label].astype(np.float32), 0.75 * classes)
    rim = _rim(np.where(label == IGNORE, 0, label)) & classes
    return _striped(np.where(rim[..., None], np.uint8(255), picture), label == IGNORE)


def contour(picture: Picture, inside: NDArray[np.bool_]) -> Picture:
    """The picture with the rim of `inside` (h, w) drawn white, one pixel wide."""
    if inside.shape != picture.shape[:2]:
        raise ValueError(f"region of {inside.shape} on a picture of {picture.shape[:2]}")
    return np.where(_rim(inside)[..., None], np.uint8(255), picture)


def boundary_picture(photo: Picture, label: Label, *, maker: str, width: int) -> Picture:
    """The class boundaries in a label (h, w), each in its class's color, on the darkened image; ignored: striped.

    maker: `change` (lines `width` thumbnail pixels to each side of a label change) or `window`.
    """
    present = np.setdiff1d(np.unique(label), [0, IGNORE])
    classes = int(present.max(initial=0)) + 1
    batch = torch.tensor(label)[None]
    if maker == "window":
        maps = window_boundaries(batch, classes=classes)
    else:
        maps = label_boundaries(batch, classes=classes, width=width)
    lines = maps[0].numpy() > 0
    picture = _striped((_grey(photo) * 0.6).astype(np.uint8), label == IGNORE)
    # Background's line lies under those of the classes it borders on, so only theirs are drawn.
    for class_id in present:
        picture = np.where(lines[class_id][..., None], COLORS[class_id], picture)
    return picture


def data_uri(picture: Picture) -> str:
    """The picture as the `data:` address of a JPEG."""
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(stream, "JPEG", quality=84, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def _grey(photo: Picture) -> NDArray[np.float32]:
    """The image (h, w, 3) darkened and without colors, so that those laid over it are seen."""
    return np.repeat(photo.astype(np.float32).mean(axis=2, keepdims=True) * 0.62 + 12, 3, axis=2)


def _tint(grey: NDArray[np.float32], colors: NDArray[np.float32], strength: NDArray[np.floating]) -> Picture:
    """Colors (h, w, 3) mixed in by strength (h, w), the image's light and dark still visible in them."""
    lit = colors * (0.72 + 0.28 * grey / 170)
    return np.clip(grey + (lit - grey) * strength[..., None], 0, 255).astype(np.uint8)


def _striped(picture: Picture, where: NDArray[np.bool_]) -> Picture:
    """Thin light stripes across the pixels `where` (h, w)."""
    rows, columns = np.indices(where.shape)
    stripes = where & ((rows + columns) % 8 < 2)
    return np.where(stripes[..., None], (picture * 0.3 + 165).astype(np.uint8), picture)


def _rim(labels: NDArray[np.generic]) -> NDArray[np.bool_]:
    """(h, w) -> where a pixel differs from the one to its left or above it."""
    rim = np.zeros(labels.shape, bool)
    rim[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    rim[1:] |= labels[1:] != labels[:-1]
    return rim
