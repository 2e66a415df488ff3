"""What an image file's header says of its bands and bits, and which files are not supported.

TIFF's tags are those of TIFF 6.0: ExtraSamples tells what a band beside grey or colour is.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from PIL import ExifTags, ImageFile, TiffImagePlugin

from sbnet.errors import SBNetError

# Of more bands than it decodes Pillow also prints an error; `described` says what is wrong.
logging.getLogger(TiffImagePlugin.__name__).setLevel(logging.CRITICAL)

_TAG = ExifTags.Base
_SAMPLE_FORMAT, _EXTRA_SAMPLES = 339, 338
_SIGNED, _FLOAT = 2, 3  # of SampleFormat
_PREMULTIPLIED, _ALPHA = 1, (1, 2)  # of ExtraSamples
_COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}  # bands of a PhotometricInterpretation
_BANDS = {0: "grey", 1: "grey", 2: "red, green and blue", 3: "a palette", 5: "CMYK", 6: "YCbCr", 8: "Lab"}
INTERLEAVE = "-co INTERLEAVE=PIXEL"
GREY_ALONE = "save its grey band with 8 or 16 bits, or as floats of 32 (gdal_translate -b 1 -ot Float32)"
COLOURS_ALONE = (
    "save red, green and blue alone, with 8 or 16 bits (gdal_translate -b 1 -b 2 -b 3 -co PHOTOMETRIC=RGB "
    f"{INTERLEAVE}, where these are their bands)"
)
WHITE = (
    "give the value that is white in all images, such as 1 (data.white_level=1, or sbnet predict --white-level 1), or "
    "save them with 8 or 16 bits"
)


class Unfit(ValueError):
    """Why an image cannot be read, and the remedy."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.remedy = remedy


class PhotoKind(NamedTuple):
    """bits: of a band, at least 8. alpha: a band, colour or palette entry is transparent. left_out: bands beside colour
    and alpha.
    """

    format: str
    bits: int = 8
    floats: bool = False
    alpha: bool = False
    left_out: int = 0
    cmyk: bool = False

    @property
    def wide(self) -> bool:
        """Whether the white level matters: it has more values than the 256 of a byte."""
        return self.floats or self.bits > 8

    @property
    def full(self) -> int:
        """The value that is white by the format, of whole numbers."""
        return 2**self.bits - 1


def check_white(white: float) -> None:
    """Raises `SBNetError` for what cannot be a white level."""
    if not 0 <= white < float("inf"):
        raise SBNetError(
            f"white is {white}; expected a number above 0, or 0 for the largest that the format has"
        )


def kind_of(image: ImageFile.ImageFile) -> PhotoKind:
    """From an opened image, before it is decoded."""
    cmyk = image.mode == "CMYK"
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        bits = 16 if image.mode.startswith("I") or ";16" in raw_mode(image) else 8
        return PhotoKind(
            image.format or "", bits, image.mode == "F", alpha=image.has_transparency_data, cmyk=cmyk
        )
    tags = image.tag_v2
    extra = tags.get(_EXTRA_SAMPLES, ())
    beside = max(0, _samples(tags) - _COLOURS.get(_photometric(tags), 1))
    alpha = bool(extra) and extra[0] in _ALPHA
    floats = _sample_format(tags) == _FLOAT
    return PhotoKind("TIFF", max(8, _bits(tags)), floats, alpha, beside - alpha, cmyk)


def raw_mode(image: ImageFile.ImageFile) -> str:
    """The byte layout that Pillow's decoder is given, such as `RGB;16B`."""
    arguments = image.tile[0][3] if image.tile else ""
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def check_readable(image: ImageFile.ImageFile, *, white: float) -> None:
    """Raises `Unfit` for a TIFF that is not supported, and for floats without a white level; before decoding."""
    kind = kind_of(image)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        tags = image.tag_v2
        signed, whole = _sample_format(tags) == _SIGNED, not kind.floats
        premultiplied = kind.bits > 8 and kind.alpha and tags[_EXTRA_SAMPLES][0] == _PREMULTIPLIED
        planar = _samples(tags) > 1 and tags.get(_TAG.PlanarConfiguration) == 2
        together = f"save it with the bands of a pixel together (gdal_translate {INTERLEAVE})"
        unfit = (
            (signed, "", "save it with 8 or 16 bits without a sign"),
            (whole and kind.bits > 16, "", "save it with 8 or 16 bits, or as floats of 32"),
            (kind.wide and _photometric(tags) == 0, " whose white is 0", "save it with 0 for black"),
            (premultiplied, ", colors premultiplied by alpha", "save it with 8 bits, or without alpha"),
            (planar, ", one band after the other", together),
        )
        for wrong, what, remedy in unfit:
            if wrong:
                raise Unfit(f"{_described(tags)}{what}, is not supported", remedy)
    if kind.floats and not white:
        raise Unfit("float values have no stated range", WHITE)


def described(path: Path) -> tuple[str, str] | None:
    """What a TIFF is that Pillow cannot open, and the remedy; None for any other file."""
    try:
        with path.open("rb") as file:
            head = file.read(8)
            if not head.startswith(tuple(TiffImagePlugin.PREFIXES)):
                return None
            if 43 in head[2:4]:  # BigTIFF
                head += file.read(8)
            tags = TiffImagePlugin.ImageFileDirectory_v2(head)
            file.seek(tags.next)
            tags.load(file)
            remedy = COLOURS_ALONE if _samples(tags) >= 3 else GREY_ALONE
            return f"{_described(tags)}, is not supported", remedy
    except Exception:  # broken, and then "not an image" is what is to be said
        return None


def _described(tags: Mapping[int, Any]) -> str:
    """`a TIFF of 4 bands of 16 bits, by its header grey and 3 more`."""
    samples, kind = _samples(tags), _photometric(tags)
    form = {_SIGNED: ", signed", _FLOAT: ", float"}.get(_sample_format(tags), "")
    said = _BANDS.get(kind, f"PhotometricInterpretation {kind}")
    if (beside := samples - _COLOURS.get(kind, 1)) > 0:
        is_alpha = beside == 1 and set(tags.get(_EXTRA_SAMPLES, ())) & set(_ALPHA)
        said += " and alpha" if is_alpha else f" and {beside} more"
    bands = f"{samples} bands" if samples > 1 else "one band"
    return f"a TIFF of {bands} of {_bits(tags)} bits{form}, by its header {said}"


def _photometric(tags: Mapping[int, Any]) -> int:
    """TIFF's PhotometricInterpretation; 0: white is 0."""
    return int(tags.get(_TAG.PhotometricInterpretation, 0))


def _samples(tags: Mapping[int, Any]) -> int:
    return int(tags.get(_TAG.SamplesPerPixel, len(tags.get(_TAG.BitsPerSample, (1,)))))


def _bits(tags: Mapping[int, Any]) -> int:
    return int(max(tags.get(_TAG.BitsPerSample, (1,))))


def _sample_format(tags: Mapping[int, Any]) -> int:
    return int(max(tags.get(_SAMPLE_FORMAT, (1,))))
