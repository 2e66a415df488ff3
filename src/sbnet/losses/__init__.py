"""Losses: pure functions, tensors in, scalars out."""

from sbnet.losses.affinity import affinity
from sbnet.losses.displacement import displacement
from sbnet.losses.segmentation import multi_scale_cross_entropy
from sbnet.losses.structure_aware import TERMS, structure_aware

__all__ = ["TERMS", "affinity", "displacement", "multi_scale_cross_entropy", "structure_aware"]
