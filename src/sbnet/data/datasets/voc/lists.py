"""The lists `trainval` and `train_aug` (VOC's and SBD's images without VOC's val), made from what is on disk."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.io import loadmat

from sbnet.data.datasets.labels import read_list
from sbnet.data.datasets.voc.folder import AUG, IMAGES, LISTS, MASKS, check_layout
from sbnet.data.datasets.voc.sources import find_sbd, origin
from sbnet.data.io.files import write_bytes, write_label
from sbnet.data.io.named_files import masks_by_name, photos_by_name
from sbnet.errors import SBNetError


class MadeList(NamedTuple):
    """`photos` names in `path`; `without_photo` were skipped, as JPEGImages does not have them."""

    path: Path
    photos: int
    without_photo: int
    written: bool


def make_lists(root: str | Path, *, sbd: str | Path | None = None) -> list[MadeList]:
    """Writes the lists trainval and train_aug of `root`, in alphabetical order.

    trainval: train and val. train_aug: train and every image of SBD, or of SegmentationClassAug where there is no SBD,
    without those of val. An existing list is kept (`written` is False). Raises `SBNetError`
    where the lists train and val or the augmented names are missing.
    """
    root = Path(root)
    check_layout(root)
    photos = photos_by_name(root / IMAGES)
    train, val = (set(_names(root, name)) for name in ("train", "val"))
    extra = _augmented(root, sbd)
    return [
        _write(root, "trainval", sorted(train | val), photos),
        _write(root, "train_aug", sorted((train | extra) - val), photos),
    ]


def take_list(root: str | Path, source: str | Path) -> MadeList:
    """A list of the reference implementations, `/JPEGImages/NAME.jpg /SegmentationClassAug/NAME.png` a line or names
    alone, as a list of `root` of the same file name. Raises `SBNetError` for a name without image, and where another
    list has its place.
    """
    root, source = Path(root), Path(source)
    check_layout(root)
    photos = photos_by_name(root / IMAGES)
    names: dict[str, int] = {}
    for line, entry in read_list(source):
        first = entry.split()[0]
        name = Path(first).stem if "/" in first else first
        if name not in photos:
            raise SBNetError(f"{source}, line {line}: there is no image '{name}' in {root / IMAGES}")
        if name in names:
            raise SBNetError(f"{source}, line {line}: '{name}' is on line {names[name]} already: remove one")
        names[name] = line
    made = _write(root, source.stem, names, photos)
    if not made.written and _names(root, source.stem) != list(names):
        raise SBNetError(
            f"{made.path} already exists with other images: move it away, or rename {source.name}"
        )
    return made


def write_sbd_masks(root: str | Path, *, sbd: str | Path | None = None) -> int:
    """The masks of the lists train_aug and val as SegmentationClassAug/NAME.png, for `data.masks`: VOC's own where VOC
    has one, else SBD's class masks.

    Returns the number written; existing masks are kept. Raises `SBNetError` for an image of the lists
    without any mask, and a file that is none of SBD's.
    """
    root = Path(root)
    mats = find_sbd(root, sbd)
    there, own = masks_by_name(root / AUG), masks_by_name(root / MASKS)
    missing = dict.fromkeys(
        name for split in ("train_aug", "val") for name in _names(root, split) if name not in there
    )
    for name in missing:
        target = root / AUG / f"{name}.png"
        if name in own:
            write_bytes(target, own[name].read_bytes())
        elif mats and (mats / f"{name}.mat").is_file():
            write_label(target, read_sbd_mask(mats / f"{name}.mat"))
        else:
            raise SBNetError(
                f"'{name}' has no mask, neither in {root / MASKS} nor in SBD; SBD: {origin('SBD')}"
            )
    return len(missing)


def read_sbd_mask(path: Path) -> np.ndarray:
    """(H, W) uint8 class ids, 0 to 20, of SBD's `cls/NAME.mat`. Raises `SBNetError` for any other file."""
    try:
        label = np.asarray(loadmat(path)["GTcls"]["Segmentation"][0, 0])
        if label.ndim != 2 or label.dtype != np.uint8 or label.max(initial=0) > 20:
            raise ValueError(f"{label.dtype} {label.shape}, up to {label.max(initial=0)}")
        return label
    except Exception as error:  # what SciPy raises for a broken file is of many types
        raise SBNetError(f"{path}: not a class mask of SBD ({error}): unpack SBD again") from error


def _names(root: Path, name: str) -> list[str]:
    path = root / LISTS / f"{name}.txt"
    if not path.is_file():
        raise SBNetError(f"{path}: there is no such list; {origin(name).replace('ROOT', str(root))}")
    return [entry for _, entry in read_list(path)]


def _augmented(root: Path, sbd: str | Path | None) -> set[str]:
    """Names of the images that SBD, or else SegmentationClassAug, has masks of."""
    if mats := find_sbd(root, sbd):
        return {path.stem for path in mats.glob("*.mat")}
    if sbd:
        raise SBNetError(
            f"{sbd}: there is no cls/NAME.mat in it: name the folder of SBD; SBD: {origin('SBD')}"
        )
    if not (masks := masks_by_name(root / AUG)):
        raise SBNetError(f"{root}: neither SBD (--sbd FOLDER) nor {AUG} is there; SBD: {origin('SBD')}")
    return set(masks)


def _write(root: Path, name: str, names: Collection[str], photos: Collection[str]) -> MadeList:
    path = root / LISTS / f"{name}.txt"
    if path.is_file():
        return MadeList(path, len(_names(root, name)), 0, False)
    kept = [entry for entry in names if entry in photos]
    write_bytes(path, "".join(f"{entry}\n" for entry in kept).encode())
    return MadeList(path, len(kept), len(names) - len(kept), True)
