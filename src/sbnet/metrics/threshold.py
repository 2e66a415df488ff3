"""mIoU of score maps at every background threshold, in one pass over the images."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from sbnet.errors import SBNetError
from sbnet.metrics.confusion import Absent, as_numpy, check_ids, mean_iou
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

        Tensors are copied to the CPU. Raises SBNetError for a target beyond the classes, ValueError for NaN; discard the
        counts then.
        """
        scores, class_ids, target = as_numpy(scores), as_numpy(class_ids), as_numpy(target)
        if scores.ndim != 3 or scores.shape[1:] != target.shape:
            raise ValueError(f"scores {scores.shape} and target {target.shape} differ in size")
        if len(class_ids) != len(scores) or not ((class_ids >= 0) & (class_ids < self.classes)).all():
            ids = class_ids.tolist()
            raise ValueError(f"class_ids: {ids} are not {len(scores)} classes of 0..{self.classes - 1}")
        check_ids("ground truth", target)
        if target.size and not 0 <= target.min() <= target.max() <= 255:
            raise SBNetError(
                f"ground truth has ids from {target.min()} to {target.max()}; they must fit into 8 bits"
            )
        bad = kernels().sweep(
            np.ascontiguousarray(scores, np.float32).reshape(len(scores), target.size),
            np.ascontiguousarray(class_ids, np.int64),
            np.ascontiguousarray(target, np.uint8).reshape(-1),
            self.thresholds.astype(np.float32),
            self.classes,
            self.ignore,
            self._counts.reshape(-1),
        )
        if bad >= 0:
            y, x = divmod(bad, target.shape[1])
            if self.classes <= target[y, x] != self.ignore:
                raise SBNetError(
                    f"ground truth has class {target[y, x]}, but the classes are 0..{self.classes - 1}"
                )
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
