"""CAMs and CRF marginals of other implementations, as arrays with our class ids. Shapes: K classes, H x W pixels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sbnet.data import IGNORE
from sbnet.data.io.files import Scores, read_scores
from sbnet.errors import SBNetError
from sbnet.compat.cam_dictionary import read_dictionary, write_dictionary

IRN_KEYS = {"keys", "cam", "high_res"}
SLACK = 0.01  # beyond [0, 1], for rounding


class Marginals(NamedTuple):
    """`marginals` (K + 1, H, W) float32, background first; `classes` (K,) int64 ids of the others."""

    marginals: np.ndarray
    classes: np.ndarray


def read_cam(path: Path | str) -> Scores:
    """The CAMs in a `.npy` of SEAM, SBNet, PSA or IRN. Raises SBNetError for anything else.

    Below 0, where SEAM's normalisation leaves what has no activation (down to -1), they become 0.
    """
    entries = read_dictionary(path)
    if set(entries) == IRN_KEYS:
        numbers, cams = entries["keys"], entries["high_res"]
        if numbers.ndim != 1 or cams.ndim != 3 or len(cams) != len(numbers):
            raise SBNetError(
                f"{path}: keys {numbers.shape} with CAMs {cams.shape}; there must be (K,) classes and (K, H, W) CAMs: "
                "write it again"
            )
        keys, arrays = numbers.tolist(), list(cams)
    else:
        keys, arrays = list(entries), list(entries.values())
    scores, classes = _stack(path, keys, arrays, most=IGNORE - 2)
    if scores.min() < -1 - SLACK or scores.max() > 1 + SLACK:
        raise SBNetError(
            f"{path}: CAMs from {scores.min():.4g} to {scores.max():.4g}; each class must be normalised to [0, 1], as "
            "the reference's scripts do"
        )
    return Scores(scores.clip(0, 1), classes + 1)


def read_marginals(path: Path | str) -> Marginals:
    """The CRF marginals in a `.npy` of SEAM, SBNet or PSA. Raises SBNetError for anything else."""
    entries = read_dictionary(path)
    if 0 not in entries:
        raise SBNetError(f"{path}: no background, key 0; CRF marginals have it, CAMs begin with class 0")
    keys = [0, *(key for key in entries if key != 0)]
    marginals, classes = _stack(path, keys, [entries[key] for key in keys], most=IGNORE - 1)
    return Marginals(marginals, classes[1:])


def write_cam(path: Path | str, scores: np.ndarray, classes: np.ndarray) -> None:
    """Scores (K, H, W) of the ids `classes` as SEAM, SBNet and PSA write and read them."""
    write_dictionary(path, {int(number) - 1: score for number, score in zip(classes, scores, strict=True)})


def write_marginals(path: Path | str, marginals: np.ndarray, classes: np.ndarray) -> None:
    """Marginals (K + 1, H, W), background first, as PSA's and SEAM's AffinityNet read them."""
    keys = [0, *(int(number) for number in classes)]
    write_dictionary(path, dict(zip(keys, marginals, strict=True)))


def find_cam(folder: Path, name: str) -> Path:
    """NAME.npz of ours, or NAME.npy of theirs; SBNetError where there is neither."""
    for suffix in (".npz", ".npy"):
        if (path := folder / f"{name}{suffix}").is_file():
            return path
    raise SBNetError(f"{folder}: no CAMs of photo '{name}' ({name}.npz or {name}.npy); add them")


def read_any_cam(path: Path, *, size: tuple[int, int], classes: Sequence[int]) -> Scores:
    """CAMs of a photo from a file of either kind, those of `classes` in that order, checked against its `size` (H, W).

    Classes that the photo has not are left out, as the reference does; one that it has and the file has not is an
    SBNetError, as is another size.
    """
    found = read_scores(path) if path.suffix == ".npz" else read_cam(path)
    if found.scores.shape[1:] != size:
        height, width = found.scores.shape[1:]
        raise SBNetError(
            f"{path}: CAMs of {width} x {height} pixels, their photo has {size[1]} x {size[0]}; make them equal"
        )
    missing = sorted(set(classes) - set(found.classes.tolist()))
    if missing:
        raise SBNetError(
            f"{path}: no CAM of class {missing[0]}, which the photo shows; mend its labels or make the CAMs anew"
        )
    places = [found.classes.tolist().index(number) for number in classes]
    return Scores(found.scores[places], found.classes[places])


def _stack(
    path: Path | str, keys: Sequence[int | str], arrays: Sequence[np.ndarray], *, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """(K, H, W) float32 and the keys (K,) int64, in their order; `most`: the largest, whose class id is below that of
    pixels of no class.
    """
    if (
        not keys
        or any(type(key) is not int or not 0 <= key <= most for key in keys)
        or len(set(keys)) != len(keys)
    ):
        raise SBNetError(
            f"{path}: its keys are {list(keys)[:9]}; they must be classes, as whole numbers from 0 to {most}"
        )
    if len({array.shape for array in arrays}) != 1 or arrays[0].ndim != 2 or arrays[0].dtype.kind != "f":
        kinds = sorted({f"{array.dtype} {array.shape}" for array in arrays})
        raise SBNetError(
            f"{path}: its arrays are {', '.join(kinds[:5])}; each must be (height, width) of one size, float"
        )
    stacked = np.stack([array.astype(np.float32) for array in arrays])
    if not stacked.size or not np.isfinite(stacked).all():
        raise SBNetError(f"{path}: empty, or values that are not finite; write it again")
    return stacked, np.array(keys, np.int64)
