"""From what a photo file holds, whatever bits and bands, to uint8 RGB.

Shapes: H x W pixels. white: the value that becomes 255 in photos of more than 8 bits, 0 for the format's own.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, TiffImagePlugin

from sbnet.data.io.photo_kind import WHITE, PhotoKind, Unfit, kind_of, photometric, raw_mode

_NATIVE = "L" if sys.byteorder == "little" else "B"
_OTHER = {"L": "B", "B": "L"}


def to_rgb(image: ImageFile.ImageFile, path: Path, *, white: float = 0) -> Image.Image:
    """An opened image -> RGB, 8 bits; decodes it. Raises `Unfit` for values beyond what `white` or the format says."""
    kind = kind_of(image)
    if kind.wide and not kind.cmyk:
        return _narrowed(image, path, kind, white)
    image.load()
    if image.mode == "RGBA" and not kind.alpha:  # a fourth band of which the file does not say what it is
        return Image.fromarray(np.ascontiguousarray(np.asarray(image)[..., :3]))
    if image.has_transparency_data:
        return _over_white(image if image.mode != "La" else image.convert("LA"))
    return image.convert("RGB")


def wide_values(image: ImageFile.ImageFile, path: Path, kind: PhotoKind) -> np.ndarray:
    """Values (H, W) or (H, W, bands) of a photo of more than 8 bits, as the file has them, without those left out.

    uint16, int64 or float32. Raises `Unfit` for what is not a finite number.
    """
    if image.mode in ("RGB", "RGBA"):
        return _colours(image, path)
    image.load()
    values = np.asarray(image)
    if kind.floats:
        if not np.isfinite(values).all():
            raise Unfit("some of its values are not finite numbers", "give them a value")
        return values
    if values.dtype != np.uint16:  # or of the other byte order
        values = values.astype(np.uint16 if image.mode.startswith("I;16") else np.int64)
    if kind.bits == 32 and not kind.signed:  # of which Pillow makes signed ones
        values = values & 0xFFFFFFFF
    # Pillow turns those of 8 bits alone.
    if isinstance(image, TiffImagePlugin.TiffImageFile) and photometric(image.tag_v2) == 0:
        values = 65535 - values
    return values


def _narrowed(image: ImageFile.ImageFile, path: Path, kind: PhotoKind, white: float) -> Image.Image:
    values = wide_values(image, path, kind)
    if not white and (values.min() < 0 or values.max() > kind.full):
        raise Unfit(f"its values run from {values.min()} to {values.max()}, 16 bits from 0 to 65535", WHITE)
    colours = colours_of(values)
    levels = _levels(colours, white or kind.full)
    if kind.alpha and values.ndim == 3 and values.shape[2] > colours.shape[2]:
        alpha = _levels(values[..., -1:], kind.full).astype(np.uint16)
        if not kind.premultiplied:
            levels = (levels * alpha + 127) // 255
        levels = np.minimum(levels + (255 - alpha), 255).astype(np.uint8)
    if (key := image.info.get("transparency")) is not None:  # the one colour that a PNG may name transparent
        levels[(colours == np.asarray(key)).all(2)] = 255
    return Image.fromarray(np.ascontiguousarray(np.broadcast_to(levels, (*levels.shape[:2], 3))))


def colours_of(values: np.ndarray) -> np.ndarray:
    """`wide_values` -> (H, W, 1 or 3), without alpha or what stands in its place."""
    if values.ndim == 2:
        return values[..., None]
    return values[..., : 3 if values.shape[2] >= 3 else 1]


def _levels(values: np.ndarray, white: float) -> np.ndarray:
    """0..white -> 0..255 uint8, rounded; what is beyond is clipped."""
    if values.dtype == np.uint16:  # a table: a photo's values need no memory as floats
        return np.asarray(_levels(np.arange(65536, dtype=np.int64), white)[values])
    return np.clip(values * (255 / white) + 0.5, 0, 255).astype(np.uint8)


def _over_white(image: Image.Image) -> Image.Image:
    over = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", over.size, "white"), over).convert("RGB")


def _colours(image: ImageFile.ImageFile, path: Path) -> np.ndarray:
    """(H, W, bands) uint16: 1 or 3 colours, and alpha where the file says so; decodes `image`.

    Pillow keeps 8 bits of a colour: the high byte, or, told that the bytes lie the other way round, the low one. So
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
    """Has the decoder keep that byte of each value; bands as they are in the file, alpha not divided out."""
    for number, tile in enumerate(image.tile):
        raw, *rest = (tile.args,) if isinstance(tile.args, str) else tile.args or ()
        bands, _, order = str(raw).partition(";16")
        if not order:  # bands that lie one after the other uncompressed, which Pillow takes for bytes
            assert isinstance(image, TiffImagePlugin.TiffImageFile)
            order = "L" if image.tag_v2.prefix == b"II" else "B"
        order = _NATIVE if order == "N" else order
        asked = f"{bands.replace('a', 'A')};16{_OTHER[order] if low else order}"
        image.tile[number] = tile._replace(args=(asked, *rest) if rest else asked)
