"""A small run folder of made-up outputs, and the photos it belongs to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sbnet.data.datasets.collection import Collection, Photo
from sbnet.data.io.files import write_json, write_label, write_scores

CLASSES = ("background", "cat", "<dog>")


def _collection(folder: Path, name: str, count: int) -> Collection:
    rng = np.random.default_rng(0)
    photos = []
    for index in range(count):
        size = (20 + index, 30)
        path, mask = folder / f"{name}{index}.png", folder / f"{name}{index}_mask.png"
        Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(path)
        label = np.zeros(size, np.uint8)
        label[5:15, 5:15] = 1 + index % 2
        label[4] = 255
        write_label(mask, label)
        photos.append(Photo(f"{name}{index}", path, (1 + index % 2,), mask))
    return Collection(CLASSES, tuple(photos), name)


@pytest.fixture
def train(tmp_path: Path) -> Collection:
    return _collection(tmp_path, "train", 3)


@pytest.fixture
def val(tmp_path: Path) -> Collection:
    return _collection(tmp_path, "val", 2)


def measured(miou: float | None, photos: str, **more: object) -> dict[str, object]:
    return {
        "miou": miou,
        "per_class": {"background": 0.9, "cat": 0.5, "<dog>": None},
        "pixel_accuracy": 0.8,
        "foreground_precision": 0.7,
        "foreground_recall": 0.6,
        "absent": "left out",
        "list": photos,
        "photos": 3,
        **more,
    }


def metrics() -> dict[str, object]:
    curve = {"thresholds": [0.1, 0.2, 0.3], "curve": [0.40, 0.46, None]}
    return {
        "cam": measured(0.46, "train", threshold=0.2, setting=0.1, miou_at_setting=0.40, **curve),
        "refine": measured(0.52, "train"),
        "random_walk": measured(0.51, "train"),
        "segmenter": measured(0.55, "val"),
        "segmenter_crf": measured(0.56, "val"),
    }


@pytest.fixture
def run(tmp_path: Path, train: Collection, val: Collection) -> Path:
    """Every step done, with all of its files."""
    folder = tmp_path / "run"
    for photo in train:
        label = np.asarray(Image.open(photo.mask or ""))
        ids = np.array(photo.classes)
        scores = np.linspace(0, 1, label.size, dtype=np.float32).reshape(1, *label.shape)
        for prefix in ("bootstrap_", ""):
            write_scores(folder / f"{prefix}infer_cam/scores/{photo.name}.npz", scores, ids)
            for kind in ("labels", "masks"):
                write_label(folder / f"{prefix}refine/{kind}/{photo.name}.png", label)
        write_label(folder / f"random_walk/masks/{photo.name}.png", label)
        for part in ("train_cam", "infer_cam/boundaries"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        grey = Image.fromarray((scores[0] * 255).astype(np.uint8))
        grey.save(folder / f"infer_cam/boundaries/{photo.name}.png")
    for photo in val:
        label = np.asarray(Image.open(photo.mask or ""))
        write_label(folder / f"predict/masks/{photo.name}.png", label)
        write_label(folder / f"predict/masks_crf/{photo.name}.png", label)
    for step in folder.iterdir():
        write_json(step / "done.json", {"fingerprint": "f", "seconds": 65.0, "device": "cpu", "facts": {}})
    log = [f"{step},1,0.1,9.5,{9 - step},{9 - step}" for step in range(9)]
    (folder / "train_cam/log.csv").write_text(
        "\n".join(["step,epoch,lr,photos_per_second,loss,class", *log, ""])
    )
    write_json(folder / "metrics.json", metrics())
    (folder / "recipe.yaml").write_text("name: tiny & <b>bold</b>\nabout: three photos\n")
    return folder
