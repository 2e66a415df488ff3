"""Pure functions on tensors; each keeps its input unchanged and works on any device."""

from .affinity import grid_radius, pair_affinity, pair_labels, pair_offsets
from .cam import background_score, normalize_scores
from .dense_crf import DenseCRF

__all__ = [
    "DenseCRF",
    "background_score",
    "grid_radius",
    "normalize_scores",
    "pair_affinity",
    "pair_labels",
    "pair_offsets",
]
