"""Images and masks as arrays, whatever mode they were saved in.

Shapes: H x W pixels as the image is looked at, that is after its EXIF rotation.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile

from sbnet.data import IGNORE
from sbnet.data.io.photo_kind import PhotoKind, Unfit, check_readable, described, kind_of
from sbnet.data.io.photo_values import colours_of, to_rgb, wide_values
from sbnet.errors import SBNetError

MAX_PIXELS = 30_000_000
DRAFT_GAP = 2  # rows and columns that a JPEG decoded smaller must have for each one needed
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif")

# Pillow also warns of large images below its own bound; here max_pixels decides. Set once, for images are read
# by threads, in which warnings.catch_warnings is not safe.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def pixel_limit(scales: Sequence[float], *, mirror: bool) -> int:
    """Pixels that an image may have if a network sees it at these scales, with or without its mirror image."""
    return int(MAX_PIXELS / max(1.0, max(scales) ** 2 * (1 + mirror)))


def read_photo(
    path: str | Path,
    *,
    max_pixels: int = MAX_PIXELS,
    needed: tuple[int, int] | None = None,
    white: float = 0,
) -> np.ndarray:
    """The image as uint8 RGB (H, W, 3), upright.

    needed: (H, W) of the upright image as it will be used. A JPEG that has at least `DRAFT_GAP` times as many rows
    and columns at a half, a quarter or an eighth of its size is decoded at that size, which takes a fraction of the
    time; resized to `needed` it differs by half a grey level on average from the image decoded whole.

    white: the white level, the value that becomes 255 in images of more than 8 bits; 0 for the largest that the format
    has (65535 of 16 bits, 4095 of 12). What is beyond is white, too.

    Grey, palette, CMYK and YCbCr become RGB; what is transparent is laid over white; bands that the file does not call
    colour or alpha are ignored; of an animation the first frame is taken. Raises `SBNetError` for a missing, truncated
    or foreign file, for more than `max_pixels` pixels (from the header, before decoding), for floats without `white`,
    and for kinds of TIFF that are not supported (`photo_kind.check_readable`).
    """
    path = Path(path)
    with _opened(path, "image", max_pixels, decode=False, white=white) as image:
        if needed is not None:
            height, width = needed[::-1] if _lies(image) else needed
            image.draft(None, (DRAFT_GAP * width, DRAFT_GAP * height))
        photo = to_rgb(image, path, white=white)
        orientation = _orientation(image)  # after decoding, in which Pillow turns a TIFF upright by itself
        if orientation in _UPRIGHT:
            photo = photo.transpose(_UPRIGHT[orientation])
        return np.array(photo)


def read_mask(path: str | Path, *, classes: int, size: tuple[int, int] | None = None) -> np.ndarray:
    """The mask as uint8 (H, W): ids 0..classes-1 and 255.

    `size` is the image's (H, W). A mask is not rotated: it must fit the upright image. Raises `SBNetError`
    for a missing or broken file, a mode other than P and L, another size, and ids beyond the list.
    """
    with _opened(Path(path), "mask", MAX_PIXELS) as image:
        _mask_ids(image, Path(path), classes)
        if size is not None:
            _check_mask_size(Path(path), (image.height, image.width), size)
        return np.array(image)


def photo_size(path: str | Path) -> tuple[int, int]:
    """(H, W) of the upright image, from its header alone. Raises `SBNetError` for what cannot be opened."""
    return _header(Path(path), MAX_PIXELS, None)[0]


def check_photo(
    photo: str | Path, mask: str | Path | None = None, *, max_pixels: int = MAX_PIXELS, white: float = 0
) -> PhotoKind:
    """What the image is, from the headers alone, so that a long run finds unusable files before it starts. Raises
    `SBNetError` as `read_photo` does, and for a mask that cannot be opened or is of another size than its (upright)
    image.
    """
    size, kind = _header(Path(photo), max_pixels, white)
    if mask is not None:
        with _opened(Path(mask), "mask", max_pixels, decode=False) as image:
            _check_mask_size(Path(mask), (image.height, image.width), size)
    return kind


def brightest(path: str | Path) -> float:
    """The largest value of an image of more than 8 bits, as the file has it; alpha does not count."""
    path = Path(path)
    with _opened(path, "image", MAX_PIXELS, decode=False) as image:
        kind = kind_of(image)
        return float(colours_of(wide_values(image, path, kind)).max())


def _header(path: Path, max_pixels: int, white: float | None) -> tuple[tuple[int, int], PhotoKind]:
    with _opened(path, "image", max_pixels, decode=False, white=white) as image:
        upright = (image.width, image.height) if _lies(image) else (image.height, image.width)
        return upright, kind_of(image)


def _check_mask_size(path: Path, mask: tuple[int, int], photo: tuple[int, int]) -> None:
    if mask != tuple(photo):
        raise SBNetError(
            f"{path}: the mask has {mask[1]} x {mask[0]} pixels, its image (upright) has "
            f"{photo[1]} x {photo[0]}: make them equal"
        )


def mask_classes(path: str | Path, *, classes: int) -> tuple[int, ...]:
    """The foreground ids in a mask, ascending. Raises as `read_mask` does."""
    with _opened(Path(path), "mask", MAX_PIXELS) as image:
        return tuple(index for index in _mask_ids(image, Path(path), classes) if index not in (0, IGNORE))


def _mask_ids(image: Image.Image, path: Path, classes: int) -> list[int]:
    if image.mode not in ("P", "L"):
        raise SBNetError(
            f"{path}: a mask holds class ids in a palette (mode P) or grey (mode L) image, this one is "
            f"{image.mode}: save it as an 8-bit palette PNG"
        )
    ids = [index for index, count in enumerate(image.histogram()) if count]
    beyond = [index for index in ids if classes <= index != IGNORE]
    if beyond:
        raise SBNetError(
            f"{path}: the mask has the class id{'s' * (len(beyond) > 1)} {', '.join(map(str, beyond[:8]))}, "
            f"but there are {classes} classes (0 to {classes - 1}, and {IGNORE} to ignore): "
            "fix the mask or the class list"
        )
    return ids


@contextmanager
def _opened(
    path: Path, what: str, max_pixels: int, *, decode: bool = True, white: float | None = None
) -> Iterator[ImageFile.ImageFile]:
    """The image, decoded or its header alone. Raises `SBNetError` for whatever Pillow cannot read, and, if `white` is a
    number, for what `check_readable` refuses.
    """
    if not path.is_file():
        raise SBNetError(f"{path}: there is no such {what}: check the name and the folder")
    try:
        with Image.open(path) as image:
            image.filename = (
                ""  # else Pillow maps an uncompressed TIFF that lies into memory at its upright size
            )
            if image.width * image.height > max_pixels:
                raise SBNetError(
                    f"{path}: {image.width} x {image.height} pixels exceed the limit of {max_pixels}: "
                    "save it smaller, or lower the scales at which the networks see it"
                )
            if white is not None:
                check_readable(image, white=white)
            if decode:
                image.load()
            yield image
    except SBNetError:
        raise
    except Image.DecompressionBombError:  # before the size could be asked: beyond Pillow's own bound
        raise SBNetError(
            f"{path}: more than {2 * (Image.MAX_IMAGE_PIXELS or 0)} pixels, and the limit is {max_pixels}: save it "
            "smaller"
        ) from None
    except Exception as error:  # Pillow's plugins raise OSError, SyntaxError, ValueError, struct.error, ...
        reason, remedy = f"broken or unknown: {error}", "replace it or remove it from the list"
        if isinstance(error, Unfit):
            reason, remedy = str(error), error.remedy
        elif isinstance(error, Image.UnidentifiedImageError):
            reason, remedy = described(path) or ("not an image", remedy)
        raise SBNetError(f"{path}: the {what} cannot be read ({reason}): {remedy}") from error


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # broken EXIF data says nothing about the orientation
        return 1


def _lies(image: Image.Image) -> bool:
    """Whether rows and columns change places when it is turned upright; Pillow turns a TIFF's size by itself."""
    return _orientation(image) >= 5 and image.format != "TIFF"
