"""Images named on a command line: files and folders, each image with a name of its own."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from sbnet.data.io.image import PHOTO_SUFFIXES
from sbnet.data.io.named_files import photos_by_name
from sbnet.errors import SBNetError, counted

logger = logging.getLogger(__name__)
SUFFIXES = ", ".join(PHOTO_SUFFIXES)


def find_photos(paths: Sequence[str | Path]) -> list[Path]:
    """The files given and, sorted, the images directly in the folders given.

    Warns of other files in a folder. Raises SBNetError for a path that does not exist, a folder without images, and two
    images of one name.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            found += _inside(path)
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
            what = (
                "is given twice" if other == path else f"and {other} would both be written as {path.stem}.png"
            )
            raise SBNetError(
                f"{path} {what}; give it once, rename one, or predict each folder into one of its own"
            )
    return found


def _inside(folder: Path) -> list[Path]:
    images, others = list(photos_by_name(folder).values()), _others(folder)
    if not images:
        near = f"; did you mean {folder / 'JPEGImages'}?" if (folder / "JPEGImages").is_dir() else ""
        raise SBNetError(
            f"{folder}: no images in this folder ({SUFFIXES}){others and f', but {others}'}{near}"
        )
    if others:
        logger.warning("%s: ignored %s; supported image files: %s", folder, others, SUFFIXES)
    return images


def _others(folder: Path) -> str:
    """`3 files (2 .heic, 1 .txt)`: those that are no images by their suffix, except hidden ones; "" for none."""
    counts = Counter(
        path.suffix.lower() or "without suffix"
        for path in folder.iterdir()
        if path.suffix.lower() not in PHOTO_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
    kinds = ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common())
    return f"{counted(counts.total(), 'file')} ({kinds})" if counts else ""
