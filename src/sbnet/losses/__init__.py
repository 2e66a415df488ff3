"""Losses: pure functions, tensors in, scalars out."""

from sbnet.losses.affinity import affinity
from sbnet.losses.boundary import boundary, smoothness
from sbnet.losses.consistency import classification, consistency
from sbnet.losses.displacement import displacement
from sbnet.losses.segmentation import multi_scale_cross_entropy
from sbnet.losses.structure_aware import structure_aware
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
