"""Notes about a set of images: ignored bands, alpha, images that are nearly black, kinds and their counts."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from sbnet.data.io.image import brightest, check_photo
from sbnet.data.io.photo_kind import PhotoKind, check_white
from sbnet.errors import SBNetError, counted

logger = logging.getLogger(__name__)

Kinds = Mapping[Path, PhotoKind]
LOOKED = 8  # images whose values are looked at


def band_notes(kinds: Kinds) -> list[str]:
    """Of ignored bands, and of a TIFF's alpha: many programs call any fourth band alpha."""
    notes = []
    if found := [path for path, kind in kinds.items() if kind.left_out]:
        bands = counted(kinds[found[0]].left_out, "band")
        notes.append(
            f"{_some_have(found, kinds)} {bands} beside grey or red, green and blue, which the file does not call alpha: "
            "ignored"
        )
    if found := [path for path, kind in kinds.items() if kind.alpha and kind.format == "TIFF"]:
        notes.append(
            f"{_some_have(found, kinds)} a band that the file calls alpha: what it makes transparent is laid over "
            "white; if it is something else, such as near infrared, save the images without it "
            "(gdal_translate -b 1 -b 2 -b 3)"
        )
    return notes


def dark_note(kinds: Kinds, *, setting: str) -> str:
    """Of images of more than 8 bits that use less than half of their range and so would be nearly black; "" for none.

    setting: how a user sets the white level, {} for the value. At most `LOOKED` images, evenly spread, are decoded;
    those that cannot be read are skipped.
    """
    wide = [path for path, kind in kinds.items() if kind.wide and not kind.floats and not kind.cmyk]
    if not wide:
        return ""
    some = wide[:: math.ceil(len(wide) / LOOKED)]
    values = {path: _brightest(path) for path in some}
    if max(values.values()) == 0 or any(value >= kinds[path].full / 2 for path, value in values.items()):
        return ""
    top, bits = int(max(values.values())), kinds[wide[0]].bits
    used = top.bit_length()
    return (
        f"{_some_have(wide, kinds)} {bits} bits, but the largest value "
        f"{'in it' if len(some) == 1 else f'in {len(some)} of them'} is {top}, so that in 8 bits they would be nearly "
        f"black: give the white level, the same for all images, such as {setting.format(2**used - 1)} if they were "
        f"taken with {used} bits, or {setting.format(kinds[wide[0]].full)} if they are meant to be so dark"
    )


def tell_of_photos(paths: Iterable[Path], *, white: float, setting: str) -> None:
    """Warns, once each, of ignored bands and alpha, and, without `white`, of images that are nearly black. Files that
    cannot be read are skipped: reading them raises the error.
    """
    check_white(white)
    kinds = {}
    for path in paths:
        with suppress(SBNetError):
            kinds[path] = check_photo(path, white=white)
    for note in [*band_notes(kinds), "" if white else dark_note(kinds, setting=setting)]:
        if note:
            logger.warning("%s", note)


def kind_counts(kinds: Kinds) -> list[str]:
    """`CMYK: 3 of 9 images, such as a.tif` for each kind that is neither plain 8-bit grey or color nor in a note."""
    groups = {
        "more than 8 bits": [path for path, kind in kinds.items() if kind.bits > 8 and not kind.floats],
        "float values": [path for path, kind in kinds.items() if kind.floats],
        "alpha or transparent colors": [path for path, kind in kinds.items() if kind.alpha],
        "CMYK": [path for path, kind in kinds.items() if kind.cmyk],
    }
    return [
        f"{what}: {len(found)} of {len(kinds)} images, such as {found[0].name}"
        for what, found in groups.items()
        if found
    ]


def _brightest(path: Path) -> float:
    try:
        return brightest(path)
    except SBNetError:  # raised where the image is read
        return 0.0


def _some_have(found: Sequence[Path], kinds: Kinds) -> str:
    if len(kinds) == 1:
        return f"{found[0].name} has"
    verb = "has" if len(found) == 1 else "have"
    return f"{len(found)} of {len(kinds)} images ({found[0].name} is the first) {verb}"
