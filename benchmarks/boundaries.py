"""Boundary targets of one training sample: python benchmarks/boundaries.py [IMAGE LABEL]

The peer keeps 21 maps of the image's size as float32 and resizes each with the image; ours resizes the label and makes
the maps of the crop. Without files, built-in scenes of 500 x 375.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from harness import Measured, Side, compare, table

SIZE = (375, 500)
CLASSES = 21
CROP = 448
LONG_SIDE = (448, 768)
SAMPLES = 8


def make_files(folder: Path, given: list[str]) -> tuple[str, str, str]:
    """An image (JPEG), its label (PNG), and the label's 21 boundary maps (npy), all of SIZE: their paths."""
    import torch
    from PIL import Image

    from sbnet.data.io.files import write_label
    from sbnet.data.synthetic.scenes import scene
    from sbnet.ops import label_boundaries

    if given:
        photo, label = (np.asarray(Image.open(path)) for path in given)
    else:
        photo, label = scene(0, 3, size=SIZE)[:2]
    paths = [str(folder / name) for name in ("image.jpg", "label.png", "maps.npy")]
    Image.fromarray(photo).convert("RGB").resize(SIZE[::-1]).save(paths[0], quality=95)
    label = np.array(Image.fromarray(label).resize(SIZE[::-1], Image.Resampling.NEAREST))
    write_label(Path(paths[1]), label)
    np.save(paths[2], label_boundaries(torch.from_numpy(label)[None], classes=CLASSES)[0].numpy())
    return paths[0], paths[1], paths[2]


def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def transform(augmentation: str = "fast") -> Any:
    from sbnet.data.training.transforms import TrainTransform

    return TrainTransform(crop=CROP, long_side=LONG_SIDE, augmentation=augmentation)


def plans() -> list[Any]:
    """Sizes, places and colors of the samples: the same on both sides."""
    return [transform().plan(SIZE, np.random.default_rng(seed)) for seed in range(SAMPLES)]


def resized_maps(path: str, plan: Any, resize: str) -> np.ndarray:
    """(21, CROP, CROP) float32: the kept maps, resized (cubic), cut, mirrored, in an empty canvas."""
    from PIL import Image
    from scipy import ndimage

    maps = np.load(path)
    if resize == "scipy":
        factors = [after / before for after, before in zip(plan.size, SIZE, strict=True)]
        maps = ndimage.zoom(maps, (1, *factors), order=3)
    else:
        size = plan.size[::-1]
        maps = np.stack([Image.fromarray(one).resize(size, Image.Resampling.BICUBIC) for one in maps])
    cut, box = plan.cut, plan.box
    maps = maps[:, cut.top : cut.top + cut.height, cut.left : cut.left + cut.width]
    canvas = np.zeros((CLASSES, CROP, CROP), np.float32)
    canvas[:, box.top : box.top + box.height, box.left : box.left + box.width] = (
        maps[..., ::-1] if plan.mirror else maps
    )
    return canvas


def peer(_inputs: dict, *, maps: str, resize: str, **_others: str) -> Callable[[], list[np.ndarray]]:
    drawn = plans()
    return lambda: [resized_maps(maps, plan, resize) for plan in drawn]


def ours(_inputs: dict, *, label: str, **_others: str) -> Callable[[], list[np.ndarray]]:
    import torch

    from sbnet.data.io.image import read_mask
    from sbnet.data.training.transforms import label_crop
    from sbnet.ops import label_boundaries

    one_thread()
    drawn = plans()

    def one(plan: Any) -> np.ndarray:
        crop = label_crop(read_mask(label, classes=CLASSES, size=SIZE), plan, CROP)
        return label_boundaries(torch.from_numpy(crop)[None], classes=CLASSES)[0].numpy()

    return lambda: [one(plan) for plan in drawn]


def a_sample(measured: Measured) -> Measured:
    return replace(measured, wall=measured.wall / SAMPLES, cpu=measured.cpu / SAMPLES)


def main(given: list[str]) -> str:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        _, label, maps = make_files(Path(folder), given)
        for resize, what in (
            ("scipy", "21 maps by scipy's zoom"),
            ("Pillow", "21 maps by Pillow, one by one"),
        ):
            there, here = compare(
                Side(resize, __file__, "peer"),
                Side("sbnet", __file__, "ours"),
                {},
                runs=3,
                label=label,
                maps=maps,
                resize=resize,
            )
            alike = ((there.result > 0.5) == (here.result > 0.5)).mean()
            rows.append((what, a_sample(there), a_sample(here), f"{100 * alike:.2f} % of pixels"))
        sizes = [Path(path).stat().st_size / 1e6 for path in (maps, label)]
    title = f"Boundary targets of a sample, 500 x 375, crop {CROP}, one thread"
    return f"{table(title, rows)}\n\nOn disk: {sizes[0]:.2f} MB / {sizes[1]:.3f} MB."


if __name__ == "__main__":
    print(main(sys.argv[1:]))
