"""Masks as the archive that VOC's test server takes: results/VOC2012/Segmentation/COMPETITION_test_cls/NAME.png."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from sbnet.data import IGNORE
from sbnet.data.datasets.labels import VOC_CLASSES, read_list
from sbnet.data.io.files import atomic_write, check_output, encode_label
from sbnet.data.io.image import photo_size, read_mask
from sbnet.data.io.named_files import masks_by_name, photos_by_name
from sbnet.data.io.palette import PALETTE
from sbnet.errors import SBNetError

Competition = Literal["comp5", "comp6"]  # trained on VOC's own data alone; on any other data also


class Package(NamedTuple):
    """What was packed: masks, and those in the folder that the list does not name."""

    path: Path
    masks: int
    left_out: int


def package_masks(
    masks: str | Path,
    out: str | Path,
    *,
    names: str | Path | None = None,
    photos: str | Path | None = None,
    competition: Competition = "comp6",
) -> Package:
    """`masks`/NAME.png as `out` (.tar.gz, .tgz or .tar), each a palette PNG with VOC's colours; equal masks give equal
    bytes.

    names: a list, one image name per line, each with a mask; by default every mask is packed. photos: the folder of the
    images, whose sizes the masks must have. Raises `SBNetError` for a missing mask, one of another mode,
    with ids beyond 0 to 20 (255 among them, which the server does not take) or with other colours; `out` is then not
    written.
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
    there = photos_by_name(Path(photos)) if photos else None
    inside = f"results/VOC2012/Segmentation/{competition}_test_cls"
    with atomic_write(out) as temporary, temporary.open("wb") as raw:
        packed = raw if out.name.endswith(".tar") else gzip.GzipFile("", "wb", 1, raw, mtime=0)
        with packed, tarfile.open(fileobj=packed, mode="w") as archive:
            for name in wanted:
                data = encode_label(_mask(found[name], _photo(name, there, Path(photos or "."))))
                entry = tarfile.TarInfo(f"{inside}/{name}.png")
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
    return Package(out, len(wanted), len(found) - len(wanted))


def _photo(name: str, there: dict[str, Path] | None, folder: Path) -> Path | None:
    if there is None:
        return None
    if name not in there:
        raise SBNetError(f"{folder}: there is no image '{name}', which has a mask")
    return there[name]


def _mask(path: Path, photo: Path | None) -> np.ndarray:
    """(H, W) uint8, ids 0 to 20."""
    label = read_mask(path, classes=len(VOC_CLASSES), size=photo_size(photo) if photo else None)
    ids = np.unique(label)
    if IGNORE in ids:
        raise SBNetError(
            f"{path}: {int((label == IGNORE).sum())} pixels are {IGNORE}: the server requires a class for every pixel"
        )
    with Image.open(path) as image:
        palette = image.getpalette("RGB") if image.mode == "P" else None
    if palette is not None:
        colours = np.zeros((256, 3), np.int64)
        colours[: len(palette) // 3] = np.reshape(palette, (-1, 3))
        other = [int(index) for index in ids if tuple(colours[index]) != tuple(PALETTE[index])]
        if other:
            raise SBNetError(
                f"{path}: class {other[0]} has the color {tuple(colours[other[0]].tolist())}, VOC's is "
                f"{tuple(PALETTE[other[0]].tolist())}: check that the ids are those of VOC's classes, and save the "
                "mask with VOC's palette or as grey ids"
            )
    return label
