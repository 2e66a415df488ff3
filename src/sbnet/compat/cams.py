"""CAMs and CRF marginals of other implementations, with our class ids. Shapes: K classes, H x W pixels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sbnet.compat.cam_dictionary import read_dictionary, write_dictionary
from sbnet.data import IGNORE
from sbnet.data.io.files import Scores, read_scores
from sbnet.errors import SBNetError

IRN_KEYS = {"keys", "cam", "high_res"}
SLACK = 0.01  # for rounding


class Marginals(NamedTuple):
    """`marginals` (K + 1, H, W) float32, background first; `classes` (K,) int64 ids of the others."""

    marginals: np.ndarray
    classes: np.ndarray


def read_cam(path: Path | str) -> Scores:
    """The CAMs in a `.npy` of SEAM, SBNet, PSA or IRN. Raises SBNetError for anything else.

    Values below 0, which SEAM's normalization gives where nothing is activated (down to -1), become 0.
    """
    entries = read_dictionary(path)
    if set(entries) == IRN_KEYS:
        numbers, cams = entries["keys"], entries["high_res"]
        if numbers.ndim != 1 or cams.ndim != 3 or len(cams) != len(numbers):
            raise SBNetError(
                f"{path}: keys {numbers.shape} with CAMs {cams.shape}; expected (K,) classes and (K, H, W) CAMs: "
                "write it again"
            )
        keys, arrays = numbers.tolist(), list(cams)
    else:
        keys, arrays = list(entries), list(entries.values())
    scores, classes = _stack(path, keys, arrays, most=IGNORE - 2)
    if scores.min() < -1 - SLACK or scores.max() > 1 + SLACK:
        raise SBNetError(
            f"{path}: CAMs from {scores.min():.4g} to {scores.max():.4g}; normalize each class to [0, 1], as the "
            "reference's scripts do"
        )
    return Scores(scores.clip(0, 1), classes + 1)


def read_marginals(path: Path | str) -> Marginals:
    """The CRF marginals in a `.npy` of SEAM, SBNet or PSA. Raises SBNetError for anything else."""
    entries = read_dictionary(path)
    if 0 not in entries:
        raise SBNetError(
            f"{path}: no background, key 0; CRF marginals have it, CAMs do not: give a folder of CRF marginals"
        )
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
    """Our NAME.npz, or another implementation's NAME.npy; SBNetError where there is neither."""
    for suffix in (".npz", ".npy"):
        if (path := folder / f"{name}{suffix}").is_file():
            return path
    raise SBNetError(f"{folder}: no CAMs of image '{name}'; add {name}.npz or {name}.npy")


def read_any_cam(path: Path, *, size: tuple[int, int], classes: Sequence[int]) -> Scores:
    """CAMs of the classes in an image, in that order, from a file of either kind.

    Other classes in the file are ignored, as in the reference. Raises SBNetError where the file lacks one of `classes`
    or has another `size` (H, W).
    """
    found = read_scores(path) if path.suffix == ".npz" else read_cam(path)
    if found.scores.shape[1:] != size:
        height, width = found.scores.shape[1:]
        raise SBNetError(
            f"{path}: CAMs of {width} x {height} pixels, but the image has {size[1]} x {size[0]}; give CAMs of its size"
        )
    missing = sorted(set(classes) - set(found.classes.tolist()))
    if missing:
        raise SBNetError(
            f"{path}: no CAM of class {missing[0]}, which the image shows; correct its labels or make the CAMs again"
        )
    places = [found.classes.tolist().index(number) for number in classes]
    return Scores(found.scores[places], found.classes[places])


def _stack(
    path: Path | str, keys: Sequence[int | str], arrays: Sequence[np.ndarray], *, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """(K, H, W) float32 and the keys (K,) int64, in their order. most: the largest key whose class id is below that of
    ignored pixels.
    """
    if (
        not keys
        or any(type(key) is not int or not 0 <= key <= most for key in keys)
        or len(set(keys)) != len(keys)
    ):
        raise SBNetError(
            f"{path}: the keys {list(keys)[:9]}; expected classes as whole numbers from 0 to {most}"
        )
    if len({array.shape for array in arrays}) != 1 or arrays[0].ndim != 2 or arrays[0].dtype.kind != "f":
        kinds = sorted({f"{array.dtype} {array.shape}" for array in arrays})
        raise SBNetError(
            f"{path}: the arrays {', '.join(kinds[:5])}; expected floats (height, width) of one size"
        )
    stacked = np.stack([array.astype(np.float32) for array in arrays])
    if not stacked.size or not np.isfinite(stacked).all():
        raise SBNetError(f"{path}: empty, or values that are not finite; write it again")
    return stacked, np.array(keys, np.int64)
