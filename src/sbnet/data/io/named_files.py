"""Images and masks of a folder by name: the file's name without suffix."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sbnet.data.io.image import PHOTO_SUFFIXES
from sbnet.errors import SBNetError, check_folder


def photos_by_name(folder: Path) -> dict[str, Path]:
    """NAME -> its image, sorted by file. Raises `SBNetError` for two images of one name, and for a folder that cannot
    be read.
    """
    return _by_name(folder, PHOTO_SUFFIXES)


def masks_by_name(folder: Path) -> dict[str, Path]:
    """NAME -> its PNG, sorted by file; none where there is no such folder. Raises `SBNetError` for NAME.png beside
    NAME.PNG, and for a folder that cannot be read.
    """
    return _by_name(folder, (".png",))


def _by_name(folder: Path, suffixes: Sequence[str]) -> dict[str, Path]:
    """suffixes: in lower case; the files' own may be in capitals."""
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
