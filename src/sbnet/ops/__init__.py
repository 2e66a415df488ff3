"""Pure functions on tensors; each keeps its input unchanged and works on any device."""

from .affinity import grid_radius, pair_affinity, pair_labels, pair_offsets
from .boundaries import label_boundaries, window_boundaries
from .cam import background_score, normalize_scores, with_background_score
from .canny import canny
from .confident_labels import confident_labels, strongest_labels
from .dense_crf import DenseCRF
from .path_affinity import boundary_walk, path_affinity
from .random_walk import random_walk

__all__ = [
    "DenseCRF",
    "background_score",
    "boundary_walk",
    "canny",
    "confident_labels",
    "grid_radius",
    "label_boundaries",
    "normalize_scores",
    "pair_affinity",
    "pair_labels",
    "pair_offsets",
    "path_affinity",
    "random_walk",
    "strongest_labels",
    "window_boundaries",
    "with_background_score",
]
