"""Images and masks as arrays, whatever mode they were saved in.

Shapes: H x W pixels of the upright image, that is after its EXIF rotation. Everything here raises `SBNetError` for a
missing, truncated or foreign file, and for one of too many pixels (from the header, before decoding).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageFile

from sbnet.data import IGNORE
from sbnet.data.io.photo_kind import PhotoKind, Unfit, check_readable, described, kind_of
from sbnet.data.io.photo_values import colours_of, to_rgb, wide_values
from sbnet.errors import SBNetError

MAX_PIXELS = 30_000_000
DRAFT_GAP = 2  # rows and columns that a JPEG decoded smaller has at least for each one needed
PHOTO_SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif")

# Pillow also warns of images below its own bound; here max_pixels decides. For good, as images are read by threads, in
# which warnings.catch_warnings is not safe.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

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

    needed: (H, W) to which it will be resized. A JPEG is decoded at a half, a quarter or an eighth of its size, which
    takes a fraction of the time, where `DRAFT_GAP` times as many rows and columns are left; once resized it differs
    by half a grey level on average.
    white: the white level: the value that becomes 255, as do those above, in images of more than 8 bits; 0 for the
    largest that the format has (65535 of 16 bits, 4095 of 12).

    Grey, palette, CMYK and YCbCr become RGB; what is transparent is laid over white; bands that are neither colour nor
    alpha are ignored; of an animation the first frame is taken. Raises `SBNetError` also for floats without `white`
    and for TIFFs that are not supported (`photo_kind.check_readable`).
    """
    path = Path(path)
    with _opened(path, "image", max_pixels) as image:
        check_readable(image, white=white)
        if needed is not None:
            height, width = needed[::-1] if _lies(image) else needed
            image.draft(None, (DRAFT_GAP * width, DRAFT_GAP * height))
        photo = to_rgb(image, path, white=white)
        orientation = _orientation(image)  # after decoding, in which Pillow turns a TIFF upright by itself
        if orientation in _UPRIGHT:
            photo = photo.transpose(_UPRIGHT[orientation])
        return np.array(photo)


def read_mask(path: str | Path, *, classes: int, size: tuple[int, int] | None = None) -> np.ndarray:
    """The mask as uint8 (H, W): ids 0 to classes-1, and 255.

    size: (H, W) of the upright image, which it must fit as it is: a mask is not rotated. Raises `SBNetError` also for
    another size, for modes other than P and L, and for ids beyond the classes.
    """
    with _opened(path, "mask", MAX_PIXELS) as image:
        _mask_ids(image, path, classes)
        if size is not None:
            _check_mask_size(path, image, size)
        return np.array(image)


def mask_classes(path: str | Path, *, classes: int) -> tuple[int, ...]:
    """The foreground ids in a mask, ascending. Raises as `read_mask` does."""
    with _opened(path, "mask", MAX_PIXELS) as image:
        return tuple(index for index in _mask_ids(image, path, classes) if index not in (0, IGNORE))


def photo_size(path: str | Path) -> tuple[int, int]:
    """(H, W) of the upright image, from its header alone."""
    with _opened(path, "image", MAX_PIXELS) as image:
        return _upright_size(image)


def check_photo(
    photo: str | Path, mask: str | Path | None = None, *, max_pixels: int = MAX_PIXELS, white: float = 0
) -> PhotoKind:
    """What the image is, from the headers alone: a long run finds unusable files before it starts.

    Raises `SBNetError` as `read_photo` does, and for a mask that cannot be opened or does not fit.
    """
    with _opened(photo, "image", max_pixels) as image:
        check_readable(image, white=white)
        size, kind = _upright_size(image), kind_of(image)
    if mask is not None:
        with _opened(mask, "mask", max_pixels) as image:
            _check_mask_size(mask, image, size)
    return kind


def brightest(path: str | Path) -> float:
    """The largest value of an image of more than 8 bits, as the file has it; alpha does not count."""
    with _opened(path, "image", MAX_PIXELS) as image:
        return float(colours_of(wide_values(image, Path(path), kind_of(image))).max())


def _check_mask_size(path: str | Path, mask: Image.Image, size: tuple[int, int]) -> None:
    if (mask.height, mask.width) != tuple(size):
        raise SBNetError(
            f"{path}: the mask has {mask.width} x {mask.height} pixels, its image (upright) has "
            f"{size[1]} x {size[0]}: make them equal"
        )


def _mask_ids(image: Image.Image, path: str | Path, classes: int) -> list[int]:
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
def _opened(path: str | Path, what: str, max_pixels: int) -> Iterator[ImageFile.ImageFile]:
    """The image, not yet decoded. Whatever is raised within becomes an `SBNetError`."""
    path = Path(path)
    if not path.is_file():
        raise SBNetError(f"{path}: there is no such {what}: check the name and the folder")
    try:
        with Image.open(path) as image:
            # Else Pillow maps an uncompressed TIFF that lies into memory at its upright size.
            image.filename = ""
            if image.width * image.height > max_pixels:
                raise SBNetError(
                    f"{path}: {image.width} x {image.height} pixels exceed the limit of {max_pixels}: "
                    "save it smaller, or lower the scales at which the networks see it"
                )
            yield image
    except SBNetError:
        raise
    except Image.DecompressionBombError:  # Pillow's own bound, before the size could be asked
        raise SBNetError(f"{path}: too many pixels, the limit is {max_pixels}: save it smaller") from None
    except Exception as error:  # Pillow's plugins raise OSError, SyntaxError, ValueError, struct.error, ...
        reason, remedy = f"broken or unknown: {error}", "replace it or remove it from the list"
        if isinstance(error, Unfit):
            reason, remedy = str(error), error.remedy
        elif isinstance(error, Image.UnidentifiedImageError):
            reason, remedy = described(path) or ("not an image", remedy)
        raise SBNetError(f"{path}: the {what} cannot be read ({reason}): {remedy}") from error


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # broken EXIF data says nothing about the orientation
        return 1


def _lies(image: Image.Image) -> bool:
    """Whether rows and columns change places when it is turned upright; Pillow turns a TIFF's size by itself."""
    return _orientation(image) >= 5 and image.format != "TIFF"


def _upright_size(image: Image.Image) -> tuple[int, int]:
    return (image.width, image.height) if _lies(image) else (image.height, image.width)
