"""mIoU of score maps at every background threshold, in one pass over the photos."""

from __future__ import annotations

import numpy as np

from ..errors import SBNetError
from ..ops.compiled import kernels
from .confusion import Absent, mean_iou


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

    def add(self, scores: np.ndarray, class_ids: np.ndarray, target: np.ndarray) -> None:
        """One photo: scores (K, H, W) of foreground classes class_ids (K,), target (H, W) of ids to 255; K may be 0.

        Raises SBNetError for a target beyond the classes, ValueError for NaN; the counts are then of no use.
        """
        if scores.ndim != 3 or scores.shape[1:] != target.shape:
            raise ValueError(f"scores {scores.shape} and target {target.shape} differ in size")
        if len(class_ids) != len(scores) or not all(0 <= number < self.classes for number in class_ids):
            raise ValueError(
                f"class_ids: {list(class_ids)} are not {len(scores)} classes of 0..{self.classes - 1}"
            )
        if not np.issubdtype(target.dtype, np.integer):
            raise SBNetError(f"ground truth: {target.dtype} holds no class ids; give whole numbers")
        if target.size and not 0 <= target.min() <= target.max() <= 255:
            raise SBNetError(
                f"ground truth has ids from {target.min()} to {target.max()}; they must fit into 8 bits"
            )
        wanted = np.ascontiguousarray(target, np.uint8).reshape(-1)
        values = np.ascontiguousarray(scores, np.float32).reshape(len(scores), target.size)
        ids, thresholds = np.asarray(class_ids, np.int64), self.thresholds.astype(np.float32)
        counts = self._counts.reshape(-1)
        bad = kernels().sweep(values, ids, wanted, thresholds, self.classes, self.ignore, counts)
        if bad >= 0 and wanted[bad] >= self.classes:
            raise SBNetError(
                f"ground truth has class {wanted[bad]}, but the classes are 0..{self.classes - 1}"
            )
        if bad >= 0:
            y, x = divmod(bad, target.shape[1])
            raise ValueError(f"scores: NaN at pixel ({y}, {x})")

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
