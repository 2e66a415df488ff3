"""Photo files named on a command line: files and folders, each photo with a name of its own."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from sbnet.data.io.image import PHOTO_SUFFIXES
from sbnet.data.io.named_files import photos_by_name
from sbnet.errors import SBNetError

logger = logging.getLogger(__name__)


def find_photos(paths: Sequence[str | Path]) -> list[Path]:
    """The files named and, sorted, the photos directly in the folders named.

    Warns of files in a folder that are left out. Raises SBNetError for what does not exist, for a folder without
    photos, and for two photos of one name.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside, others = photos_by_name(path).values(), _others(path)
            if not inside:
                near = f"; did you mean {path / 'JPEGImages'}?" if (path / "JPEGImages").is_dir() else ""
                held = f", but {others}" if others else ""
                raise SBNetError(
                    f"{path}: no photos in this folder ({', '.join(PHOTO_SUFFIXES)}){held}{near}"
                )
            if others:
                logger.warning(
                    "%s: left out, as they are no photos by their suffix: %s; save photos as one of %s",
                    path,
                    others,
                    ", ".join(PHOTO_SUFFIXES),
                )
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise SBNetError(f"{path}: no such photo or folder; a relative path begins at {Path.cwd()}")
    if not found:
        raise SBNetError("no photos given; name files or folders")
    seen: dict[str, Path] = {}
    for path in found:
        other = seen.setdefault(path.stem, path)
        if other is not path:
            what = (
                "is named twice" if other == path else f"and {other} would both be written as {path.stem}.png"
            )
            raise SBNetError(
                f"{path} {what}; name it once, rename one, or predict each folder into one of its own"
            )
    return found


def _others(folder: Path) -> str:
    """`3 files (2 .heic, 1 .txt)`: those that are no photos by their suffix, hidden ones aside; "" for none."""
    counts = Counter(
        path.suffix.lower() or "without suffix"
        for path in folder.iterdir()
        if path.suffix.lower() not in PHOTO_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )
    kinds = ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common())
    return f"{counts.total()} file{'s' * (counts.total() > 1)} ({kinds})" if counts else ""
