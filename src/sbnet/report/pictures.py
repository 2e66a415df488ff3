"""Arrays in, small pictures out. All functions are pure; none reads or writes a file.

Legend: H, W a photo's size; h, w a thumbnail's; K present classes. Pictures are (h, w, 3) uint8 RGB; labels
uint8 with 0 = background and 255 = ignore.
"""

from __future__ import annotations

import base64
import io

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from sbnet.data import IGNORE
from sbnet.data.io.palette import PALETTE
from sbnet.ops.boundaries import label_boundaries, window_boundaries

LIT_UP = (PALETTE * (255 / np.maximum(PALETTE.max(axis=1, keepdims=True), 1))).astype(np.uint8)
"""The palette with each colour raised to full brightness, hue kept: a dark red line would not show."""

_STRIPES = np.array([[244, 244, 244], [178, 178, 178]], np.uint8)

Picture = NDArray[np.uint8]
Label = NDArray[np.uint8]


def thumbnail_size(height: int, width: int, *, side: int) -> tuple[int, int]:
    """(h, w) of a photo fitted into `side` x `side` pixels, never enlarged, at least 1 x 1."""
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


def color_label(label: Label) -> Picture:
    """(h, w) -> (h, w, 3) in the classes' colours; ignored pixels are white with grey stripes."""
    rows, columns = np.indices(label.shape)
    stripes = _STRIPES[((rows + columns) % 12 < 3).astype(np.intp)]
    return np.where((label == IGNORE)[..., None], stripes, PALETTE[label])


def heat_overlay(photo: Picture, scores: NDArray[np.float32], class_ids: NDArray[np.integer]) -> Picture:
    """Scores (K, h, w) in [0, 1] over the photo (h, w, 3): grey where low, the class's colour where high.

    Where classes overlap their colours mix in proportion. Colours are lit up: a dark red would not show.
    """
    grey = photo.astype(np.float32).mean(axis=2, keepdims=True) * 0.62 + 12
    if len(scores) == 0:
        return np.repeat(grey, 3, axis=2).astype(np.uint8)
    scores = np.clip(np.nan_to_num(scores), 0, 1)
    colors = LIT_UP[np.asarray(class_ids, np.intp)].astype(np.float32)
    mixed = np.einsum("khw,kc->hwc", scores, colors) / np.maximum(scores.sum(axis=0), 1e-6)[..., None]
    strongest = scores.max(axis=0)[..., None]
    # The photo's light and dark stay visible in the coloured part.
    lit = mixed * (0.55 + 0.45 * grey / 170)
    return np.clip(grey + (lit - grey) * 0.9 * strongest, 0, 255).astype(np.uint8)


def contour(picture: Picture, inside: NDArray[np.bool_]) -> Picture:
    """The picture with the rim of `inside` (h, w) drawn white, one pixel wide."""
    if inside.shape != picture.shape[:2]:
        raise ValueError(f"region of {inside.shape} on a picture of {picture.shape[:2]}")
    rim = np.zeros_like(inside)
    rim[:, 1:] |= inside[:, 1:] ^ inside[:, :-1]
    rim[1:] |= inside[1:] ^ inside[:-1]
    return np.where(rim[..., None], np.uint8(255), picture)


def boundary_picture(label: Label, *, maker: str, width: int) -> Picture:
    """The boundary maps that a label (h, w) gives: each class's lines, lit up, on the darkened label.

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
    picture = color_label(label) // 3
    # Background's line lies under those of the classes it borders on, so only theirs are drawn.
    for class_id in present:
        picture = np.where(lines[class_id][..., None], LIT_UP[class_id], picture)
    return picture


def data_uri(picture: Picture, *, lossless: bool) -> str:
    """The picture as a `data:` address: PNG where flat colours must stay exact, else JPEG."""
    stream = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(picture))
    if lossless:
        image.save(stream, "PNG", compress_level=6)
    else:
        image.save(stream, "JPEG", quality=82)
    kind = "png" if lossless else "jpeg"
    return f"data:image/{kind};base64," + base64.b64encode(stream.getvalue()).decode("ascii")
