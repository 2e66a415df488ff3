"""One training sample, from files to what the network is given: python benchmarks/loader.py [IMAGE LABEL]

The peer is written after the reference's way: Pillow resizes the image, torchvision's ColorJitter changes the colors
of all of it, then it is normalised and cropped; with boundary targets, 21 maps are read and resized with it, by
scipy's zoom or by Pillow one by one.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from boundaries import (
    CLASSES,
    CROP,
    SIZE,
    a_sample,
    make_files,
    one_thread,
    plans,
    resized_maps,
    transform,
)
from harness import Side, compare, table

MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])


def peer(
    _inputs: dict, *, photo: str, maps: str, targets: str, **_others: str
) -> Callable[[], list[np.ndarray]]:
    from PIL import Image
    from torchvision.transforms import functional

    one_thread()
    drawn = plans()
    adjust = (
        functional.adjust_brightness,
        functional.adjust_contrast,
        functional.adjust_saturation,
        functional.adjust_hue,
    )

    def one(plan: Any) -> np.ndarray:
        """(3, CROP, CROP) float32."""
        image = Image.open(photo).convert("RGB").resize(plan.size[::-1], Image.Resampling.BICUBIC)
        if plan.mirror:  # the cut's columns are counted from the left before mirroring
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        for step in plan.jitter.order:
            image = adjust[step](image, plan.jitter[step])
        values = (np.asarray(image) / np.float32(255) - MEAN) / STD
        cut, box = plan.cut, plan.box
        left = plan.size[1] - cut.left - cut.width if plan.mirror else cut.left
        canvas = np.zeros((CROP, CROP, 3), np.float32)
        canvas[box.top : box.top + box.height, box.left : box.left + box.width] = values[
            cut.top : cut.top + cut.height, left : left + cut.width
        ]
        if targets:
            resized_maps(maps, plan, targets)
        return np.ascontiguousarray(canvas.transpose(2, 0, 1))

    return lambda: [one(plan) for plan in drawn]


def ours(
    _inputs: dict, *, photo: str, label: str, targets: str, augmentation: str, **_others: str
) -> Callable[[], list[np.ndarray]]:
    import torch

    from sbnet.backbones.normalization import IMAGENET
    from sbnet.data.io.image import photo_size, read_mask, read_photo
    from sbnet.data.training.dataset import images
    from sbnet.ops import label_boundaries

    one_thread()
    change, drawn = transform(augmentation), plans()

    def one(plan: Any) -> np.ndarray:
        """(3, CROP, CROP) float32."""
        size = photo_size(photo)
        pixels = read_photo(photo, needed=change.needed(plan))
        mask = read_mask(label, classes=CLASSES, size=size) if targets else None
        sample = change(pixels, mask, plan=plan)
        if sample.label is not None:
            label_boundaries(sample.label[None], classes=CLASSES)
        box = torch.tensor(sample.box)[None]
        return images(torch.from_numpy(sample.photo)[None], box, IMAGENET)[0].numpy()

    return lambda: [one(plan) for plan in drawn]


def main(given: list[str]) -> str:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        photo, label, maps = make_files(Path(folder), given)
        for what, augmentation, targets in (
            ("image", "fast", ""),
            ("image, `augmentation: exact`", "exact", ""),
            ("image and boundary targets, by scipy", "fast", "scipy"),
            ("image and boundary targets, by Pillow", "fast", "Pillow"),
        ):
            there, here = compare(
                Side("Pillow, ColorJitter", __file__, "peer"),
                Side("sbnet", __file__, "ours"),
                {},
                runs=3 if targets == "scipy" else 7,
                photo=photo,
                label=label,
                maps=maps,
                targets=targets,
                augmentation=augmentation,
            )
            levels = np.abs(there.result - here.result) * (255 * STD)[:, None, None]
            rows.append((what, a_sample(there), a_sample(here), f"{levels.mean():.2f} grey levels apart"))
    return table(f"A training sample, image of {SIZE[1]} x {SIZE[0]}, crop {CROP}, one thread", rows)


if __name__ == "__main__":
    print(main(sys.argv[1:]))
