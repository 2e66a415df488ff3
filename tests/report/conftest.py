"""A small run folder of made-up outputs, the steps that made it, and the images it belongs to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sbnet.data.datasets.collection import Collection, Photo
from sbnet.data.io.files import write_json, write_label, write_scores
from sbnet.report.page import write_report
from sbnet.settings import Settings
from sbnet.steps.spec import (
    BOUNDARIES,
    MASKS,
    MODEL,
    PSEUDO_MASKS,
    SCORES,
    SEEDS,
    Measure,
    Picture,
    StepSpec,
)

CLASSES = ("background", "cat", "<dog>")
RECIPE = "name: tiny & <b>bold</b>\nabout: three images gave 77.7\n"


def step(name: str, title: str = "", **more: Any) -> StepSpec:
    return StepSpec(name, title or name, "", "module:run", Settings(), **more)


def steps(lines: str = "{}.png", read: str = "lines", **options: Any) -> list[StepSpec]:
    """A chain of names that the package does not have."""
    return [
        step("learn", "Learn maps", writes=(MODEL,), reads={"lines": SEEDS}, pictures=(
            Picture("Lines", "trained on", lines, "boundaries", read=read, options=options),
        )),
        step("maps", writes=(SCORES, BOUNDARIES), measures=(Measure("maps", "Maps", SCORES),), pictures=(
            Picture("Edges", "", "boundaries/{}.png", "grey"),
            Picture("Maps", "colors by score", "scores/{}.npz", "heat", threshold="maps"),
        )),
        step("cut", writes=(SEEDS, PSEUDO_MASKS), measures=(Measure("cut", "Cut", PSEUDO_MASKS),), pictures=(
            Picture("Seeds", "certain", "seeds/{}.png", "seeds"),
            Picture("Cut", "", "masks/{}.png", "mask"),
        )),
        step("spread", writes=(PSEUDO_MASKS,), measures=(Measure("spread", "Spread", PSEUDO_MASKS),), pictures=(
            Picture("Spread", "", "masks/{}.png", "mask"),
        )),
        step("out", writes=(MASKS,), images="val", measures=(
            Measure("out", "Out", MASKS), Measure("out_crf", "Out + CRF", MASKS, folder="masks_crf"),
        ), pictures=(
            Picture("Out", "", "masks/{}.png", "mask", images="val"),
            Picture("Out + CRF", "", "masks_crf/{}.png", "mask", images="val"),
        )),
    ]  # fmt: skip


def written(run: Path, train: Collection, val: Collection | None = None, **more: Any) -> str:
    """The page of the run."""
    made = more.pop("steps", steps())
    inputs: dict[str, dict[str, Path]] = {one.name: {} for one in made}
    inputs["learn"] = {"lines": run / "cut/seeds"}
    options = {"inputs": inputs, "metrics": metrics(), "title": "tiny & <b>bold</b>", "about": "77.7"} | more
    page = write_report(run, recipe=RECIPE, train=train, val=val, steps=made, **options)
    return page.read_text(encoding="utf-8")


def _collection(folder: Path, name: str, count: int) -> Collection:
    rng = np.random.default_rng(0)
    images = []
    for index in range(count):
        size = (20 + index, 30)
        path, mask = folder / f"{name}{index}.png", folder / f"{name}{index}_mask.png"
        Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(path)
        label = np.zeros(size, np.uint8)
        label[5:15, 5:15] = 1 + index % 2
        label[4] = 255
        write_label(mask, label)
        images.append(Photo(f"{name}{index}", path, (1 + index % 2,), mask))
    return Collection(CLASSES, tuple(images), name)


@pytest.fixture
def train(tmp_path: Path) -> Collection:
    return _collection(tmp_path, "train", 3)


@pytest.fixture
def val(tmp_path: Path) -> Collection:
    return _collection(tmp_path, "val", 2)


def measured(miou: float | None, split: str, **more: object) -> dict[str, Any]:
    return {
        "miou": miou,
        "foreground_miou": 0.321,
        "per_class": {"background": 0.9, "cat": 0.5, "<dog>": None},
        "pixel_accuracy": 0.8,
        "foreground_precision": 0.7,
        "foreground_recall": 0.6,
        "absent": "ignored",
        "list": split,
        "images": 3,
        **more,
    }


def metrics() -> dict[str, Any]:
    curve = {"thresholds": [0.1, 0.2, 0.3], "curve": [0.40, 0.46, None]}
    return {
        "maps": measured(0.46, "train", threshold=0.2, setting=0.1, miou_at_setting=0.40, **curve),
        "cut": measured(0.52, "train"),
        "spread": measured(0.51, "train"),
        "out": measured(0.55, "val"),
        "out_crf": measured(0.56, "val"),
    }


@pytest.fixture
def run(tmp_path: Path, train: Collection, val: Collection) -> Path:
    """Every step done, with all of its files."""
    folder = tmp_path / "run"
    for image in train:
        label = np.asarray(Image.open(image.mask or ""))
        scores = np.linspace(0, 1, label.size, dtype=np.float32).reshape(1, *label.shape)
        write_scores(folder / f"maps/scores/{image.name}.npz", scores, np.array(image.classes))
        for place in ("cut/seeds", "cut/masks", "spread/masks"):
            write_label(folder / place / f"{image.name}.png", label)
        for part in ("learn", "maps/boundaries"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        Image.fromarray((scores[0] * 255).astype(np.uint8)).save(folder / f"maps/boundaries/{image.name}.png")
    for image in val:
        label = np.asarray(Image.open(image.mask or ""))
        write_label(folder / f"out/masks/{image.name}.png", label)
        write_label(folder / f"out/masks_crf/{image.name}.png", label)
    for one in folder.iterdir():
        write_json(one / "done.json", {"fingerprint": "f", "seconds": 65.0, "device": "cpu", "facts": {}})
    log = [f"{at},1,0.1,9.5,{9 - at},{9 - at}" for at in range(9)]
    (folder / "learn/log.csv").write_text("\n".join(["step,epoch,lr,images_per_second,loss,class", *log, ""]))
    return folder
