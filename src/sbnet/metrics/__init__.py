"""Figures that tell how good masks are: confusion matrix, IoU, threshold sweep."""

from .confusion import Absent, confusion, iou, mean_iou, summary
from .threshold import ThresholdSweep

__all__ = ["Absent", "ThresholdSweep", "confusion", "iou", "mean_iou", "summary"]
