"""Losses: pure functions, tensors in, scalars out."""

from sbnet.losses.consistency import classification, consistency
from sbnet.losses.pairs import affinity, displacement
from sbnet.losses.segmentation import multi_scale_cross_entropy
from sbnet.losses.structure_aware import boundary, smoothness, structure_aware
from sbnet.losses.two_views import TwoViews

__all__ = [
    "TwoViews",
    "affinity",
    "boundary",
    "classification",
    "consistency",
    "displacement",
    "multi_scale_cross_entropy",
    "smoothness",
    "structure_aware",
]
