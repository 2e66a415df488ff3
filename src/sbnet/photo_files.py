"""Photo files named on a command line: files and folders, each photo with a name of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sbnet.data.image import PHOTO_SUFFIXES
from sbnet.errors import SBNetError


def find_photos(paths: Sequence[str | Path]) -> list[Path]:
    """The files named and, sorted, the photos directly in the folders named.

    Raises SBNetError for what does not exist, for a folder without photos, and for two photos of one name.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(file for file in path.iterdir() if file.suffix.lower() in PHOTO_SUFFIXES)
            if not inside:
                near = f"; did you mean {path / 'JPEGImages'}?" if (path / "JPEGImages").is_dir() else ""
                raise SBNetError(f"{path}: no photos in this folder ({', '.join(PHOTO_SUFFIXES)}){near}")
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
