"""Confusion matrix, IoU and the figures drawn from them. C classes, background at 0.

Conventions for a class that is neither in the prediction nor in the ground truth of the set: "nan" leaves it
out of the mean; "zero" counts it as IoU 0, as the running evaluation of SBNet's reference does. PASCAL VOC's
own figures need neither: each of its sets has every class.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

from sbnet.errors import SBNetError

Absent = Literal["nan", "zero"]
Array = TypeVar("Array", np.ndarray, Tensor)


def confusion(prediction: Array, target: Array, *, classes: int, ignore: int = 255) -> Array:
    """(C, C) int64 counts, rows target, columns prediction, over the pixels whose target is not `ignore`.

    prediction, target: class ids of one shape. The counts are of their kind, numpy or a tensor on their device, where
    they are counted. Raises SBNetError for another shape and for ids beyond the classes.
    """
    if prediction.shape != target.shape:
        raise SBNetError(
            f"prediction {tuple(prediction.shape)} and ground truth {tuple(target.shape)} differ in size; "
            "predictions are compared at the image's size"
        )
    for name, given in (("prediction", prediction), ("ground truth", target)):
        check_ids(name, given)
    if isinstance(prediction, Tensor) and isinstance(target, Tensor):
        return _count(prediction, target.to(prediction.device), classes, ignore)
    return _count(as_numpy(prediction), as_numpy(target), classes, ignore)


def check_ids(name: str, ids: np.ndarray | Tensor) -> None:
    """Raise SBNetError for anything but whole numbers."""
    if isinstance(ids, Tensor):
        whole = not (ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool)
    else:
        whole = np.issubdtype(ids.dtype, np.integer)
    if not whole:
        raise SBNetError(f"{name}: {ids.dtype} holds no class ids; give whole numbers")


def _count(prediction: Array, target: Array, classes: int, ignore: int) -> Array:
    found, wanted = prediction.reshape(-1), target.reshape(-1)
    if "uint8" in str(found.dtype) and found.dtype == wanted.dtype and classes <= 256:
        pairs = _histogram(_as(wanted, "int32") * 256 + found, 256)
        if 0 <= ignore < 256:
            pairs[ignore] = 0
        counts = pairs[:classes, :classes]
        if counts.sum() == pairs.sum():  # else there are ids beyond the classes, which are named below
            kept: Any = counts.clone() if isinstance(counts, Tensor) else counts.copy()
            return kept
    found, wanted = _as(found, "int64"), _as(wanted, "int64")
    known = wanted != ignore
    found, wanted = found[known], wanted[known]
    for name, ids in (("ground truth", wanted), ("prediction", found)):
        wrong = ids[(ids < 0) | (ids >= classes)]
        if len(wrong):
            raise SBNetError(
                f"{name} has class {int(wrong[0])}, but the classes are 0..{classes - 1}; check the class list"
            )
    return _histogram(wanted * classes + found, classes)


def _histogram(pairs: Array, side: int) -> Array:
    """How often each of the numbers below side^2 occurs: (side, side) int64."""
    count = torch.bincount if isinstance(pairs, Tensor) else np.bincount
    found: Array = count(pairs, minlength=side * side).reshape(side, side)
    return found


def _as(ids: Array, dtype: str) -> Array:
    return ids.to(getattr(torch, dtype)) if isinstance(ids, Tensor) else ids.astype(dtype)


def iou(confusion: np.ndarray | Tensor, *, absent: Absent = "nan") -> np.ndarray:
    """Intersection over union per class: (..., C, C) -> (..., C) float64; `absent` as the module says."""
    confusion = as_numpy(confusion)
    hit = np.diagonal(confusion, axis1=-2, axis2=-1)
    union = confusion.sum(-1) + confusion.sum(-2) - hit
    return np.where(union > 0, hit / np.maximum(union, 1), np.nan if absent == "nan" else 0.0)


def mean_iou(confusion: np.ndarray | Tensor, *, absent: Absent = "nan") -> np.ndarray:
    """Mean over classes of `iou`: (..., C, C) -> (...); NaN for a set without any pixel under "nan"."""
    return _mean(iou(confusion, absent=absent))


def _mean(values: np.ndarray) -> np.ndarray:
    """Over the last axis, NaNs left out; NaN where all are."""
    counted = ~np.isnan(values)
    total, number = np.where(counted, values, 0).sum(-1), counted.sum(-1)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def summary(
    confusion: np.ndarray | Tensor, class_names: Sequence[str], *, absent: Absent = "nan"
) -> dict[str, Any]:
    """Figures for JSON as fractions, None where undefined: `miou`, `foreground_miou` (the mean without background),
    `per_class` {name: IoU}, `pixel_accuracy`, `foreground_precision` and `foreground_recall` (foreground against
    background, whatever the class), `absent`.

    class_names: C names, background first.
    """
    confusion = as_numpy(confusion)
    per_class = iou(confusion, absent=absent)
    hit_foreground = confusion[1:, 1:].sum()
    return {
        "miou": _number(_mean(per_class)),
        "foreground_miou": _number(_mean(per_class[1:])),
        "per_class": {name: _number(value) for name, value in zip(class_names, per_class, strict=True)},
        "pixel_accuracy": _share(np.trace(confusion), confusion.sum()),
        "foreground_precision": _share(hit_foreground, confusion[:, 1:].sum()),
        "foreground_recall": _share(hit_foreground, confusion[1:].sum()),
        "absent": absent,
    }


def as_numpy(values: np.ndarray | Tensor) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def _share(part: np.integer, whole: np.integer) -> float | None:
    return float(part / whole) if whole else None


def _number(value: np.floating | np.ndarray) -> float | None:
    return None if np.isnan(value) else float(value)
