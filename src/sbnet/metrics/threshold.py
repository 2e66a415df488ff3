"""mIoU of score maps at every background threshold, in one pass over the images."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from sbnet.errors import SBNetError
from sbnet.metrics.confusion import Absent, check_ids, mean_iou
from sbnet.ops.compiled import kernels


class ThresholdSweep:
    """Confusion matrices of scores against ground truth for T background thresholds at once.

    At threshold t a pixel's label is the argmax of (t, its class scores), background first, as in SEAM's
    evaluation: foreground is where the highest score is above t. So only that score and its class matter: one
    histogram of (target, class, number of thresholds below the score) holds all T matrices.
    """

    def __init__(self, classes: int, thresholds: np.ndarray | None = None, *, ignore: int = 255) -> None:
        """thresholds: ascending, 0.00 to 0.59 in steps of 0.01 unless given."""
        self.thresholds = np.arange(60) / 100 if thresholds is None else np.asarray(thresholds, np.float64)
        ascending = (
            self.thresholds.size
            and np.isfinite(self.thresholds).all()
            and (np.diff(self.thresholds) > 0).all()
        )
        if not ascending:
            raise ValueError("thresholds: not one or more finite numbers, ascending")
        if not 0 <= ignore <= 255:
            raise ValueError(f"ignore: {ignore} does not fit into 8 bits, as the ids of masks do")
        self.classes = classes
        self.ignore = ignore
        self._counts = np.zeros((classes, classes, len(self.thresholds) + 1), np.int64)

    def add(
        self, scores: np.ndarray | Tensor, class_ids: np.ndarray | Tensor, target: np.ndarray | Tensor
    ) -> None:
        """One image: scores (K, H, W) of foreground classes class_ids (K,), target (H, W) of ids to 255; K may be 0.

        Scores on a GPU are counted there; the counts themselves are kept in numpy.
        Raises SBNetError for a target beyond the classes, ValueError for NaN; discard the counts then.
        """
        if scores.ndim != 3 or tuple(scores.shape[1:]) != tuple(target.shape):
            raise ValueError(f"scores {tuple(scores.shape)} and target {tuple(target.shape)} differ in size")
        ids = [int(number) for number in _on_cpu(class_ids)]
        if len(ids) != len(scores) or not all(0 <= number < self.classes for number in ids):
            raise ValueError(f"class_ids: {ids} are not {len(scores)} classes of 0..{self.classes - 1}")
        check_ids("ground truth", target)
        if math.prod(target.shape):
            low, high = int(target.min()), int(target.max())
            if not 0 <= low <= high <= 255:
                raise SBNetError(f"ground truth has ids from {low} to {high}; they must fit into 8 bits")
        if isinstance(scores, Tensor) and not scores.is_cpu:
            bad = self._count_torch(scores.detach(), ids, torch.as_tensor(target, device=scores.device))
        else:
            bad = self._count(_on_cpu(scores), ids, _on_cpu(target))
        if bad >= 0:
            y, x = divmod(bad, target.shape[1])
            if self.classes <= target[y, x] != self.ignore:
                raise SBNetError(
                    f"ground truth has class {int(target[y, x])}, but the classes are 0..{self.classes - 1}"
                )
            raise ValueError(f"scores: NaN at pixel ({y}, {x})")

    def _count(self, scores: np.ndarray, class_ids: list[int], target: np.ndarray) -> int:
        """Count one image, compiled; the first pixel that cannot be counted, or -1."""
        wanted = np.ascontiguousarray(target, np.uint8).reshape(-1)
        values = np.ascontiguousarray(scores, np.float32).reshape(len(scores), target.size)
        ids, thresholds = np.asarray(class_ids, np.int64), self.thresholds.astype(np.float32)
        counts = self._counts.reshape(-1)
        return kernels().sweep(values, ids, wanted, thresholds, self.classes, self.ignore, counts)

    def _count_torch(self, scores: Tensor, class_ids: list[int], target: Tensor) -> int:
        """The same in PyTorch, on the scores' device: a histogram of (target, class, place) as one number."""
        wanted = target.flatten().long()
        known = wanted != self.ignore
        bad = known & (wanted >= self.classes)
        place = torch.zeros_like(wanted)
        if class_ids:
            best, channel = scores.float().flatten(1).max(0)
            bad |= known & best.isnan()
            thresholds = torch.tensor(self.thresholds, dtype=torch.float32, device=scores.device)
            below = torch.bucketize(best, thresholds)
            ids = torch.tensor(class_ids, device=scores.device)
            place = ids[channel] * (len(thresholds) + 1) + below
        if bad.any():
            return int(bad.nonzero()[0])
        size = self._counts.size
        cell = torch.where(known, wanted * (size // self.classes) + place, size)
        counts = torch.bincount(cell, minlength=size + 1)[:-1]
        self._counts += counts.cpu().numpy().reshape(self._counts.shape)
        return -1

    def confusions(self) -> np.ndarray:
        """(T, C, C) int64, rows target, columns prediction."""
        above = self._counts[:, :, ::-1].cumsum(-1)[:, :, ::-1][:, :, 1:]  # the score is above threshold i
        above[:, 0] = 0
        above[:, 0] = self._counts.sum((1, 2))[:, None] - above.sum(1)
        return np.moveaxis(above, -1, 0)

    def curve(self, *, absent: Absent = "nan") -> np.ndarray:
        """(T,) mIoU as fractions."""
        return mean_iou(self.confusions(), absent=absent)

    def best(self, *, absent: Absent = "nan") -> tuple[float, float]:
        """The threshold of the highest mIoU, the lowest of equals, and that mIoU."""
        curve = self.curve(absent=absent)
        top = int(np.argmax(np.nan_to_num(curve, nan=-1.0)))
        return float(self.thresholds[top]), float(curve[top])


def _on_cpu(values: np.ndarray | Tensor) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
