"""A tiny VOC folder: four photos of cats and dogs as coloured squares, with masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sbnet.data.io.files import write_label

SIZES = {"a": (24, 32), "b": (32, 24), "c": (20, 20), "d": (9, 40)}  # height, width
PRESENT = {"a": (1,), "b": (2,), "c": (1, 2), "d": ()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "pets"
    (root / "JPEGImages").mkdir(parents=True)
    (root / "ImageSets/Segmentation").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, (height, width) in SIZES.items():
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"JPEGImages/{name}.jpg", quality=95)
        mask = np.zeros((height, width), np.uint8)
        mask[0] = 255
        for index in PRESENT[name]:
            mask[2:8, 8 * index : 8 * index + 6] = index
        write_label(root / f"SegmentationClass/{name}.png", mask)
    (root / "ImageSets/Segmentation/train.txt").write_text("a\nb\n\nc\n")
    (root / "ImageSets/Segmentation/all.txt").write_text("a\nb\nc\nd\n")
    (root / "classes.txt").write_text("cat\ndog\n")
    return root
