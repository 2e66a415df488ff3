"""Masks as the archive that VOC's test server takes: results/VOC2012/Segmentation/COMPETITION_test_cls/NAME.png."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path
from typing import Literal

import numpy as np

from sbnet.data import IGNORE
from sbnet.data.datasets.labels import VOC_CLASSES, read_list
from sbnet.data.io.files import atomic_write, check_output, encode_label
from sbnet.data.io.image import photo_size, read_mask
from sbnet.data.io.named_files import masks_by_name, photos_by_name
from sbnet.errors import SBNetError

Competition = Literal["comp5", "comp6"]  # trained on VOC's own data alone; on any other data also


def package_masks(
    masks: str | Path,
    out: str | Path,
    *,
    names: str | Path | None = None,
    photos: str | Path | None = None,
    competition: Competition = "comp6",
) -> tuple[int, int]:
    """`masks`/NAME.png as `out` (.tar.gz, .tgz or .tar), each a palette PNG; equal masks give equal bytes.
    Returns how many are packed, and how many in the folder are not in the list.

    names: a list, one image name per line, each with a mask; by default every mask is packed. photos: the folder of the
    images, whose sizes the masks must have. Raises `SBNetError` for a missing mask, one of another mode, and ids beyond
    0 to 20 (255 among them, which the server does not take); `out` is then not written.
    """
    folder, out = Path(masks), Path(out)
    if not out.name.endswith((".tar.gz", ".tgz", ".tar")):
        raise SBNetError(f"{out}: the server accepts a tar: name it .tar.gz, .tgz or .tar")
    if not folder.is_dir():
        raise SBNetError(f"{folder}: there is no such folder of masks")
    if photos is not None and not Path(photos).is_dir():
        raise SBNetError(f"{photos}: there is no such folder of images")
    found = masks_by_name(folder)
    wanted = [name for _, name in read_list(Path(names))] if names else sorted(found)
    missing = [name for name in wanted if name not in found]
    if missing or not wanted:
        told = f"{len(missing)} of {len(wanted)} masks of {names} are missing ('{missing[0]}' is the first)"
        raise SBNetError(f"{folder}: {told if missing else 'there is no mask in it'}: predict them first")
    check_output(out, [names])
    there = photos_by_name(Path(photos)) if photos else {}
    if photos and (strange := next((name for name in wanted if name not in there), None)):
        raise SBNetError(f"{photos}: there is no image '{strange}', which has a mask")
    inside = f"results/VOC2012/Segmentation/{competition}_test_cls"
    with atomic_write(out) as temporary, temporary.open("wb") as raw:
        packed = raw if out.name.endswith(".tar") else gzip.GzipFile("", "wb", 1, raw, mtime=0)
        with packed, tarfile.open(fileobj=packed, mode="w") as archive:
            for name in wanted:
                data = encode_label(_mask(found[name], there.get(name)))
                entry = tarfile.TarInfo(f"{inside}/{name}.png")
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
    return len(wanted), len(found) - len(wanted)


def _mask(path: Path, photo: Path | None) -> np.ndarray:
    """(H, W) uint8, ids 0 to 20."""
    label = read_mask(path, classes=len(VOC_CLASSES), size=photo_size(photo) if photo else None)
    if unknown := np.count_nonzero(label == IGNORE):
        raise SBNetError(
            f"{path}: {unknown} pixels are {IGNORE}: the server requires a class for every pixel"
        )
    return label
