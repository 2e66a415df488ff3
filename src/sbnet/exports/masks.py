"""From a folder of masks to an export: which masks, of which classes, written as a whole or not at all."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sbnet.errors import SBNetError, check_folder, did_you_mean
from sbnet.exports.base import Export, NamedMask


def check_masks(folder: Path) -> None:
    """Raises SBNetError where there is no such folder."""
    if not folder.is_dir():
        beside = folder.absolute().parent
        near = did_you_mean(folder.name, [path.name for path in beside.iterdir()]) if beside.is_dir() else ""
        raise SBNetError(f"{folder}: no such folder{near}; give a run folder or a folder of NAME.png masks")
    check_folder(folder)


def find_classes(folder: Path, file: Path | None) -> tuple[str, ...]:
    """Class names from `file`, else from classes.txt in the masks' folder or the one above."""
    from sbnet.data.datasets.labels import read_class_names

    places = [file] if file else [folder / "classes.txt", folder.absolute().parent / "classes.txt"]
    for place in places:
        if file or place.is_file():
            return read_class_names(place)
    raise SBNetError(
        f"{folder}: there is no classes.txt in it: give the class names: --classes FILE, one name per line"
    )


def export_masks(
    folder: Path, form: Export, out: Path, *, classes: Sequence[str], images: Mapping[str, Path] | None = None
) -> int:
    """Writes `folder`/NAME.png to the folder `out`, new or empty; returns how many.

    classes: names by id, background first. images: name -> file, of those that are known. Raises SBNetError, and leaves
    `out` as it is, for a folder without masks, a mask that `read_mask` refuses, and an `out` that holds files.
    """
    from sbnet.data.io.named_files import masks_by_name

    found = masks_by_name(folder)
    if not found:
        raise SBNetError(
            f"{folder}: there are no masks (NAME.png) in it: give a run folder or a folder of masks"
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SBNetError(f"{out} already exists: choose a new or empty folder (--out)")
    temporary = out.absolute().with_name(f".{out.name}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.mkdir(parents=True)
        count = form.write(_read(found, len(classes), images or {}), classes, temporary)
        temporary.replace(out)
    except OSError as error:
        raise SBNetError(
            f"{out} cannot be written ({error.strerror}): choose another folder (--out)"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return count


def _read(found: Mapping[str, Path], classes: int, images: Mapping[str, Path]) -> Iterator[NamedMask]:
    from sbnet.data.io.image import read_mask

    for name, path in found.items():
        yield NamedMask(name, read_mask(path, classes=classes), images.get(name))
