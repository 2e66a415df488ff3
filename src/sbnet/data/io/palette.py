"""VOC's colours, and a mask laid over its image."""

from __future__ import annotations

import numpy as np


def voc_palette() -> np.ndarray:
    """Uint8 (256, 3), an id's colour: its bits 0, 1, 2 are the top bits of R, G, B; 3, 4, 5 the next; ..."""
    ids = np.arange(256)[:, None] >> np.arange(0, 24, 3)
    bits = (ids[:, :, None] >> np.arange(3)) & 1
    return (bits << np.arange(7, -1, -1)[None, :, None]).sum(1).astype(np.uint8)


PALETTE = voc_palette()


def overlay(photo: np.ndarray, mask: np.ndarray, *, alpha: float = 0.5) -> np.ndarray:
    """Image (H, W, 3) uint8 with the mask's colours blended in by `alpha` wherever it is not background."""
    blended = (photo * (1 - alpha) + PALETTE[mask] * alpha + 0.5).astype(np.uint8)
    return np.where((mask != 0)[..., None], blended, photo)
