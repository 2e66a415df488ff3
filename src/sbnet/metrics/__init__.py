"""Figures that tell how good masks are: confusion matrix, IoU, threshold sweep."""

from sbnet.metrics.confusion import Absent, confusion, iou, mean_iou, summary
from sbnet.metrics.threshold import ThresholdSweep

__all__ = ["Absent", "ThresholdSweep", "confusion", "iou", "mean_iou", "summary"]
