"""A small folder in COCO's layout, made of the built-in scenes: 80 categories with gaps in their ids, every form that
an instance's pixels take, and crowds.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as run_lengths

from sbnet.data.synthetic.scenes import scene

GAPS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)  # ids from 1 to 90 that COCO 2014 does not use
IDS = [number for number in range(1, 91) if number not in GAPS]
SIZE = (48, 64)  # height, width


def polygons(pixels: np.ndarray) -> list[list[float]]:
    """A rectangle around each run of pixels (H, W) in a row, which draws those and no others."""
    found = []
    for row, line in enumerate(pixels):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], line.astype(np.int8), [0]])))
        for left, right in edges.reshape(-1, 2).tolist():
            found.append([left, row, right, row, right, row + 1, left, row + 1])
    return found


def counts(pixels: np.ndarray) -> list[int]:
    """Uncompressed run lengths, column by column, beginning with zeros."""
    flat = pixels.ravel(order="F").astype(np.int8)
    changes = [0, *np.flatnonzero(np.diff(flat)) + 1, len(flat)]
    return [0] * int(flat[0]) + [int(after - before) for before, after in pairwise(changes)]


def compressed(pixels: np.ndarray) -> dict[str, Any]:
    coded = run_lengths.encode(np.asfortranarray(pixels, np.uint8))
    return {"size": list(coded["size"]), "counts": coded["counts"].decode()}


def segmentation(pixels: np.ndarray, form: int) -> Any:
    if form == 0:
        return polygons(pixels)
    if form == 1:
        return compressed(pixels)
    return {"size": list(pixels.shape), "counts": counts(pixels)}


def make(root: Path, *, train: int = 20, val: int = 4) -> dict[str, np.ndarray]:
    """Writes the folder; gives name -> mask (H, W) uint8 of class ids 0 to 80.

    Class c of a scene is category IDS[10 c]; squares of 3 x 3 in a corner bring the other categories in turn.
    """
    truth: dict[str, np.ndarray] = {}
    number = 0
    for split, first, photos in (("train2014", 0, train), ("val2014", 1000, val)):
        images, annotations = [], []
        for image in range(first, first + photos):
            pixels, label, _ = scene(0, image, size=SIZE)
            mask = (label * 10 + (label > 0)).astype(np.uint8)
            for place in range(4):
                mask[:3, 4 * place : 4 * place + 3] = 1 + (4 * image + place) % 80
            name = f"COCO_{split}_{image:012}"
            (root / split).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(root / split / f"{name}.jpg", quality=92)
            images.append(
                {"id": image, "file_name": f"{name}.jpg", "height": SIZE[0], "width": SIZE[1], "license": 1}
            )
            for index in np.unique(mask[mask > 0]).tolist():
                shape = mask == index
                form = number % 3
                annotations.append(
                    {
                        "id": (number := number + 1),
                        "image_id": image,
                        "category_id": IDS[index - 1],
                        "area": float(shape.sum()),
                        "bbox": [0.0, 0.0, 1.0, 1.0],
                        "iscrowd": int(form == 2),
                        "segmentation": segmentation(shape, form),
                    }
                )
            truth[name] = mask
        images.append(
            {"id": first + 999, "file_name": "empty.jpg", "height": SIZE[0], "width": SIZE[1]}
        )  # without any instance
        write(root, split, images, annotations)
    return truth


def write(root: Path, split: str, images: list[Any], annotations: list[Any], **other: Any) -> Path:
    path = root / "annotations" / f"instances_{split}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    categories = [{"id": one, "name": f"thing {one}", "supercategory": "x"} for one in reversed(IDS)]
    tables = {"info": {}, "images": images, "annotations": annotations, "categories": categories, **other}
    path.write_text(json.dumps(tables))
    return path
