"""VOC's colours."""

from __future__ import annotations

import numpy as np

from sbnet.data.io.palette import PALETTE, overlay


def test_published_colours() -> None:
    assert PALETTE.shape == (256, 3)
    known = {
        0: (0, 0, 0),
        1: (128, 0, 0),
        2: (0, 128, 0),
        8: (64, 0, 0),
        15: (192, 128, 128),
        20: (0, 64, 128),
    }
    for index, colour in {**known, 255: (224, 224, 192)}.items():
        assert tuple(PALETTE[index]) == colour
    assert len(np.unique(PALETTE, axis=0)) == 256


def test_overlay_leaves_background_and_input_alone() -> None:
    photo = np.full((1, 3, 3), 100, np.uint8)
    mixed = overlay(photo, np.array([[0, 1, 255]], np.uint8), alpha=0.25)
    np.testing.assert_array_equal(mixed[0], [[100, 100, 100], [107, 75, 75], [131, 131, 123]])
    assert mixed.dtype == np.uint8
    assert (photo == 100).all()
