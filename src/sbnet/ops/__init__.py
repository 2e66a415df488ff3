"""Pure functions on tensors; each keeps its input unchanged and works on any device."""

from sbnet.ops.affinity import grid_radius, label_grid, pair_affinity, pair_labels, pair_offsets
from sbnet.ops.boundaries import label_boundaries, window_boundaries
from sbnet.ops.cam import normalize_scores, with_background_score
from sbnet.ops.canny import canny
from sbnet.ops.confident_labels import confident_labels, strongest_labels
from sbnet.ops.dense_crf import DenseCRF
from sbnet.ops.path_affinity import boundary_walk, path_affinity
from sbnet.ops.random_walk import random_walk

__all__ = [
    "DenseCRF",
    "boundary_walk",
    "canny",
    "confident_labels",
    "grid_radius",
    "label_boundaries",
    "label_grid",
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
