"""From what an image file holds, of 8 or 16 bits or floats and any bands, to uint8 RGB. Shapes: H x W pixels."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile

from sbnet.data.io.photo_kind import PhotoKind, Unfit, kind_of, raw_mode

_NATIVE = "L" if sys.byteorder == "little" else "B"
_OTHER = {"L": "B", "B": "L"}


def to_rgb(image: ImageFile.ImageFile, path: Path, *, white: float = 0) -> Image.Image:
    """Decodes an opened image to 8 bits. white: see `read_photo`. Raises `Unfit` for floats that are not finite."""
    kind = kind_of(image)
    if kind.wide and not kind.cmyk:
        return _narrowed(image, path, kind, white)
    image.load()
    if image.mode == "RGBA" and not kind.alpha:  # a fourth band of which the file does not say what it is
        return Image.fromarray(np.ascontiguousarray(np.asarray(image)[..., :3]))
    if image.has_transparency_data:
        over = (image if image.mode != "La" else image.convert("LA")).convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", over.size, "white"), over).convert("RGB")
    return image.convert("RGB")


def wide_values(image: ImageFile.ImageFile, path: Path, kind: PhotoKind) -> np.ndarray:
    """The file's own values, (H, W) or (H, W, bands) uint16 or float32, of more than 8 bits. Raises as `to_rgb` does."""
    if image.mode in ("RGB", "RGBA"):
        return _colours(image, path)
    image.load()
    values = np.asarray(image)
    if not kind.floats:
        return values.astype(np.uint16, copy=False)  # of the other byte order, perhaps
    if not np.isfinite(values).all():
        raise Unfit("some of its values are not finite numbers", "give them a value")
    return values


def colours_of(values: np.ndarray) -> np.ndarray:
    """`wide_values` -> (H, W, 1 or 3), without alpha or what stands in its place."""
    if values.ndim == 2:
        return values[..., None]
    return values[..., : 3 if values.shape[2] >= 3 else 1]


def _narrowed(image: ImageFile.ImageFile, path: Path, kind: PhotoKind, white: float) -> Image.Image:
    values = wide_values(image, path, kind)
    colours = colours_of(values)
    levels = _levels(colours, white or kind.full)
    if kind.alpha and values.ndim == 3 and values.shape[2] > colours.shape[2]:
        alpha = _levels(values[..., -1:], kind.full).astype(np.uint16)
        levels = ((levels * alpha + 127) // 255 + (255 - alpha)).astype(np.uint8)
    if (key := image.info.get("transparency")) is not None:  # the one colour that a PNG may name transparent
        levels[(colours == np.asarray(key)).all(2)] = 255
    return Image.fromarray(np.ascontiguousarray(np.broadcast_to(levels, (*levels.shape[:2], 3))))


def _levels(values: np.ndarray, white: float) -> np.ndarray:
    """0..white -> 0..255 uint8, rounded; what is beyond is clipped."""
    if values.dtype == np.uint16:  # a table: an image's values need no memory as floats
        return np.asarray(_levels(np.arange(65536, dtype=np.int64), white)[values])
    return np.clip(values * (255 / white) + 0.5, 0, 255).astype(np.uint8)


def _colours(image: ImageFile.ImageFile, path: Path) -> np.ndarray:
    """(H, W, bands) uint16: 1 or 3 colours, and alpha where the file says so.

    Pillow keeps 8 bits of a colour: the high byte, or, if given the other byte order, the low one. So
    the file is decoded twice.
    """
    if raw_mode(image) == "LA;16B":  # of PNG: two bytes of grey, two of alpha, which pass for four of colour
        image.tile = [tile._replace(args="RGBA") for tile in image.tile]
        image.load()
        return np.asarray(image).view(">u2").astype(np.uint16)
    with Image.open(path) as again:
        _ask_byte(again, low=True)
        again.load()
        low = np.asarray(again)
    _ask_byte(image, low=False)
    image.load()
    return np.asarray(image).astype(np.uint16) << 8 | low


def _ask_byte(image: ImageFile.ImageFile, *, low: bool) -> None:
    """Has the decoder keep that byte of each value; bands as they are in the file."""
    for number, tile in enumerate(image.tile):
        raw, *rest = (tile.args,) if isinstance(tile.args, str) else tile.args or ()
        bands, _, order = str(raw).partition(";16")
        order = _NATIVE if order == "N" else order
        asked = f"{bands};16{_OTHER[order] if low else order}"
        image.tile[number] = tile._replace(args=(asked, *rest) if rest else asked)
