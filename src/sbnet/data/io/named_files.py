"""Images and masks by name: the file's name without suffix, which pairs an image with its mask."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from sbnet.data.io.image import PHOTO_SUFFIXES
from sbnet.errors import SBNetError, check_folder, counted

logger = logging.getLogger(__name__)
_SUPPORTED = ", ".join(PHOTO_SUFFIXES)


def photos_by_name(folder: Path) -> dict[str, Path]:
    """NAME -> its image, sorted by file. Raises `SBNetError` as `masks_by_name` does."""
    return _by_name(folder, PHOTO_SUFFIXES)


def masks_by_name(folder: Path) -> dict[str, Path]:
    """NAME -> its PNG, sorted by file; none where there is no such folder. Raises `SBNetError` for two files of one
    name, and for a folder that cannot be read.
    """
    return _by_name(folder, (".png",))


def _by_name(folder: Path, suffixes: Sequence[str]) -> dict[str, Path]:
    if folder.is_dir():
        check_folder(folder)
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("*")):
        if path.suffix.lower() in suffixes and (other := found.setdefault(path.stem, path)) != path:
            raise SBNetError(
                f"{folder}: both {other.name} and {path.name} are named '{path.stem}', and the name is what "
                "pairs images with masks: remove or rename one"
            )
    return found


def find_photos(paths: Sequence[str | Path]) -> list[Path]:
    """The files given and, sorted, the images directly in the folders given; a folder's other files are warned of.

    Raises `SBNetError` for a path that does not exist, a folder without images, and two images of one name.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            found += _photos_inside(path)
        elif path.exists():
            found.append(path)
        else:
            raise SBNetError(f"{path}: no such image or folder; a relative path starts at {Path.cwd()}")
    if not found:
        raise SBNetError("no images given; give files or folders")
    seen: dict[str, Path] = {}
    for path in found:
        other = seen.setdefault(path.stem, path)
        if other is not path:
            same = f"and {other} would both be written as {path.stem}.png"
            what = "is given twice" if other == path else same
            raise SBNetError(
                f"{path} {what}; give it once, rename one, or predict each folder into one of its own"
            )
    return found


def _photos_inside(folder: Path) -> list[Path]:
    images = list(photos_by_name(folder).values())
    others = Counter(
        path.suffix.lower() or "without suffix"
        for path in folder.iterdir()
        if path.suffix.lower() not in PHOTO_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
    kinds = ", ".join(f"{count} {suffix}" for suffix, count in others.most_common())
    told = f"{counted(others.total(), 'file')} ({kinds})"
    if not images:
        near = f"; did you mean {folder / 'JPEGImages'}?" if (folder / "JPEGImages").is_dir() else ""
        raise SBNetError(
            f"{folder}: no images in this folder ({_SUPPORTED}){f', but {told}' if others else ''}{near}"
        )
    if others:
        logger.warning("%s: ignored %s; supported image files: %s", folder, told, _SUPPORTED)
    return images
