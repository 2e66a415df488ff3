"""Losses: pure functions, tensors in, scalars out."""

from .affinity import affinity
from .displacement import displacement
from .segmentation import multi_scale_cross_entropy
from .structure_aware import TERMS, structure_aware

__all__ = ["TERMS", "affinity", "displacement", "multi_scale_cross_entropy", "structure_aware"]
