"""Notes about a set of images: ignored bands, alpha, images that are nearly black, kinds and their counts."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from sbnet.data.io.image import brightest, check_photo
from sbnet.data.io.photo_kind import PhotoKind, check_white
from sbnet.errors import SBNetError

logger = logging.getLogger(__name__)

Kinds = Mapping[Path, PhotoKind]
LOOKED = 8  # images whose values are looked at
READERS = 2  # at once: the values of an image of 30 megapixels take 700 MiB


def band_notes(kinds: Kinds) -> list[str]:
    """Of ignored bands, and of a TIFF's alpha: many programs call any fourth band alpha."""
    notes = []
    for stated in (True, False):
        if found := [path for path, kind in kinds.items() if kind.left_out and kind.stated == stated]:
            bands = kinds[found[0]].left_out
            what = "a band" if bands == 1 else f"{bands} bands"
            said = "which the file says is not alpha" if stated else "which the file does not describe"
            notes.append(
                f"{_some(found, kinds)} {'has' if len(found) == 1 else 'have'} {what} beside grey or red, green and "
                f"blue, {said}: ignored, only grey or red, green and blue are read"
            )
    if found := [path for path, kind in kinds.items() if kind.alpha and kind.format == "TIFF"]:
        notes.append(
            f"{_some(found, kinds)} {'has' if len(found) == 1 else 'have'} a band that the file calls alpha: what it "
            "makes transparent is laid over white; if it is something else, such as near infrared, save the images "
            "without it (gdal_translate -b 1 -b 2 -b 3)"
        )
    return notes


def dark_note(kinds: Kinds, *, setting: str, looked: int | None = LOOKED) -> str:
    """A message about images of more than 8 bits that use less than half of them and so would be nearly black, "" for
    none. setting: how a user sets the white level, {} for the value. looked: how many images are
    decoded, evenly spread; None for all. Those that cannot be read are skipped.
    """
    wide = [path for path, kind in kinds.items() if kind.wide and not kind.floats and not kind.cmyk]
    if not wide:
        return ""
    some = wide if looked is None else [wide[index * len(wide) // looked] for index in range(looked)]
    some = list(dict.fromkeys(some))
    with ThreadPoolExecutor(READERS) as pool:
        found = [(value, path) for value, path in zip(pool.map(_brightest, some), some, strict=True) if value]
    if not found or max(value / kinds[path].full for value, path in found) >= 0.5:
        return ""
    top, bits = int(max(found)[0]), kinds[wide[0]].bits
    used = top.bit_length()
    return (
        f"{_some(wide, kinds)} {'has' if len(wide) == 1 else 'have'} {bits} bits, but the largest value "
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
    """`16 bits: 3 images, such as a.tif` for each kind that is not plain 8-bit grey or colour."""
    groups = {
        "more than 8 bits": [path for path, kind in kinds.items() if kind.bits > 8 and not kind.floats],
        "float values": [path for path, kind in kinds.items() if kind.floats],
        "alpha or transparent colors": [path for path, kind in kinds.items() if kind.alpha],
        "bands ignored": [path for path, kind in kinds.items() if kind.left_out],
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


def _some(found: Sequence[Path], kinds: Kinds) -> str:
    if len(kinds) == 1:
        return found[0].name
    return f"{len(found)} of {len(kinds)} images ({found[0].name} is the first)"
