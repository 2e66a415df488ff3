"""What a photo file's header says of its bands and bits, and which files Pillow would read wrongly.

TIFF's tags are those of TIFF 6.0: ExtraSamples tells what a band beside grey or colour is.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from PIL import ExifTags, ImageFile, TiffImagePlugin

from sbnet.errors import SBNetError

# Of more bands than it decodes Pillow also prints an error; what is wrong is said by `described` here.
logging.getLogger(TiffImagePlugin.__name__).setLevel(logging.CRITICAL)

_TAG = ExifTags.Base
_SAMPLE_FORMAT, _EXTRA_SAMPLES = 339, 338
_SIGNED, _FLOAT = 2, 3  # of SampleFormat
_ALPHA = (1, 2, 999)  # of ExtraSamples: premultiplied, not premultiplied, Corel Draw's
_SEPARATE = 2  # of PlanarConfiguration: one band after the other
_COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}  # bands of a PhotometricInterpretation
_BANDS = {0: "grey", 1: "grey", 2: "red, green and blue", 3: "a palette", 5: "CMYK", 6: "YCbCr", 8: "Lab"}
INTERLEAVE = "-co INTERLEAVE=PIXEL"
WHITE = (
    "say which value is white in all of the photos (data.white=1, or sbnet predict --white 1, where it is 1), or save "
    "them with 8 or 16 bits"
)


class Unfit(ValueError):
    """Why a photo cannot be read, and the remedy."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.remedy = remedy


class PhotoKind(NamedTuple):
    """bits: of a band, 8 or fewer as 8. floats: its values are floats. alpha: a band, colour or palette entry is
    transparent; premultiplied: the colours have been multiplied by it. left_out: bands beside colour and alpha.
    stated: whether TIFF's ExtraSamples says what these are. cmyk: inks. signed: its values may be below 0.
    """

    format: str
    bits: int = 8
    floats: bool = False
    alpha: bool = False
    premultiplied: bool = False
    left_out: int = 0
    stated: bool = True
    cmyk: bool = False
    signed: bool = False

    @property
    def wide(self) -> bool:
        """Whether its values are more than the 256 of a byte, so that it must be known which is white."""
        return self.floats or self.bits > 8

    @property
    def full(self) -> int:
        """The value that is white by the format."""
        return 2**self.bits - 1 if self.bits <= 16 else 65535


def check_white(white: float) -> None:
    """Raises `SBNetError` for what can be no value of white."""
    if not 0 <= white < float("inf"):
        raise SBNetError(
            f"white is {white}; expected a number above 0, or 0 for the largest that the format has"
        )


def kind_of(image: ImageFile.ImageFile) -> PhotoKind:
    """From an opened image, before it is decoded."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return _kind_of_tiff(image)
    wide = image.mode.startswith("I") or ";16" in raw_mode(image)
    return PhotoKind(
        image.format or "",
        16 if wide else 8,
        floats=image.mode == "F",
        alpha=image.has_transparency_data,
        cmyk=image.mode == "CMYK",
    )


def _kind_of_tiff(image: TiffImagePlugin.TiffImageFile) -> PhotoKind:
    tags = image.tag_v2
    extra, colours = tags.get(_EXTRA_SAMPLES, ()), _COLOURS.get(photometric(tags), 1)
    beside = max(0, _samples(tags) - colours)
    alpha = bool(extra) and extra[0] in _ALPHA
    return PhotoKind(
        "TIFF",
        max(8, _bits(tags)),
        floats=_sample_format(tags) == _FLOAT,
        alpha=alpha,
        premultiplied=alpha and extra[0] == 1,
        left_out=beside - alpha,
        stated=bool(extra) or not beside,
        cmyk=image.mode == "CMYK",
        signed=_sample_format(tags) == _SIGNED,
    )


def raw_mode(image: ImageFile.ImageFile) -> str:
    """How the file's bytes lie, as Pillow's decoder is told."""
    if not image.tile:
        return ""
    arguments = image.tile[0][3]
    return str(arguments[0] if isinstance(arguments, tuple) and arguments else arguments)


def check_readable(image: ImageFile.ImageFile, *, white: float) -> None:
    """From an opened image, before it is decoded: raises `Unfit` for what Pillow would read wrongly, and for floats
    where it is not said which value is white.
    """
    kind = kind_of(image)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        tags = image.tag_v2
        if _sample_format(tags) == _SIGNED and _bits(tags) <= 8:
            raise Unfit(_described(tags), "save it with 8 bits without a sign")
        if photometric(tags) == 0 and (
            kind.floats or (kind.wide and white)
        ):  # 16 bits have a black of their own
            raise Unfit(f"{_described(tags)} whose white is 0", "save it with 0 for black")
        if tags.get(_TAG.PlanarConfiguration, 1) == _SEPARATE:
            _check_separate(tags, kind, packed=image.info.get("compression") != "raw", white=white)
    if kind.floats and not white:
        raise Unfit("float values have no stated range", WHITE)


def _check_separate(tags: Mapping[int, Any], kind: PhotoKind, *, packed: bool, white: float) -> None:
    """Bands one after the other: Pillow reads colours; a band beside them not always; of compressed ones of 16 bits
    only the high bytes, which is too little where it is another value that is white.
    """
    apart = f"{_described(tags)}, one band after the other"
    if kind.left_out or kind.alpha:
        alpha = kind.alpha and not kind.premultiplied
        if photometric(tags) != 2 or not (alpha or (packed and not (kind.premultiplied and kind.wide))):
            raise Unfit(apart, colours_alone(_samples(tags)))
    if kind.wide and packed and white and _samples(tags) > 1:
        raise Unfit(apart, f"save it with the bands of a pixel together (gdal_translate {INTERLEAVE})")


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
            return _described(tags), colours_alone(_samples(tags))
    except Exception:  # broken, and then "not an image" is what is to be said
        return None


def colours_alone(samples: int) -> str:
    """The remedy for a photo of so many bands."""
    if samples == 1:
        return "save it with 8 or 16 bits, or as floats of 32 (gdal_translate -ot Float32)"
    if samples < 3:
        return "save its grey band alone, with 8 or 16 bits (gdal_translate -b 1)"
    return (
        "save red, green and blue alone, with 8 or 16 bits (gdal_translate -b 1 -b 2 -b 3 -co PHOTOMETRIC=RGB "
        f"{INTERLEAVE}, where these are their bands)"
    )


def _described(tags: Mapping[int, Any]) -> str:
    """`a TIFF of 4 bands of 16 bits, by its header grey and 3 more`."""
    samples, kind = _samples(tags), photometric(tags)
    form = {_SIGNED: ", signed", _FLOAT: ", float"}.get(_sample_format(tags), "")
    said = _BANDS.get(kind, f"PhotometricInterpretation {kind}")
    if (beside := samples - _COLOURS.get(kind, 1)) > 0:
        is_alpha = beside == 1 and set(tags.get(_EXTRA_SAMPLES, ())) & set(_ALPHA)
        said += " and alpha" if is_alpha else f" and {beside} more"
    bands = f"{samples} bands" if samples > 1 else "one band"
    return f"a TIFF of {bands} of {_bits(tags)} bits{form}, by its header {said}"


def photometric(tags: Mapping[int, Any]) -> int:
    """TIFF's PhotometricInterpretation; 0: white is 0."""
    return int(tags.get(_TAG.PhotometricInterpretation, 0))


def _samples(tags: Mapping[int, Any]) -> int:
    return int(tags.get(_TAG.SamplesPerPixel, len(tags.get(_TAG.BitsPerSample, (1,)))))


def _bits(tags: Mapping[int, Any]) -> int:
    return int(max(tags.get(_TAG.BitsPerSample, (1,))))


def _sample_format(tags: Mapping[int, Any]) -> int:
    return int(max(tags.get(_SAMPLE_FORMAT, (1,))))
