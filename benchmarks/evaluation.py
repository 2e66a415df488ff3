"""Evaluation against the loops of SEAM's script, both from files: python benchmarks/evaluation.py [IMAGES]

The peer is written after its description: for every threshold eight processes share the images; each reads their CAMs
and masks again, makes 21 channels of them, takes the argmax, and counts class by class.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from harness import Side, compare, table
from PIL import Image
from scipy import ndimage

SIZE = (375, 500)
CLASSES = 21
THRESHOLDS = 60
PROCESSES = 8  # of the peer


def make_files(folder: Path, photos: int) -> list[str]:
    """For each image: CAMs of two classes (ours and as a pickled dictionary), a prediction, the ground truth."""
    from sbnet.data.io.files import write_label, write_scores

    random = np.random.default_rng(0)
    names = [f"image{number:04}" for number in range(photos)]
    for kind in ("scores", "cams", "masks", "truth"):
        (folder / kind).mkdir()
    for name in names:
        ids = np.sort(random.choice(np.arange(1, CLASSES), 2, replace=False))
        cams = ndimage.gaussian_filter(random.standard_normal((2, *SIZE)), (0, 20, 20))
        cams = np.maximum(cams / cams.max((1, 2), keepdims=True), 0).astype(np.float16)
        labels = np.concatenate([[0], ids])
        truth = labels[np.concatenate([np.full((1, *SIZE), 0.2), np.roll(cams, 15, 2)]).argmax(0)]
        prediction = labels[np.concatenate([np.full((1, *SIZE), 0.2), cams]).argmax(0)]
        truth[random.random(SIZE) < 0.05] = 255
        write_scores(folder / "scores" / f"{name}.npz", cams, ids)
        pairs: Any = dict(zip((ids - 1).tolist(), cams.astype(np.float32), strict=True))
        np.save(folder / "cams" / f"{name}.npy", pairs, allow_pickle=True)
        write_label(folder / "masks" / f"{name}.png", prediction.astype(np.uint8))
        write_label(folder / "truth" / f"{name}.png", truth.astype(np.uint8))
    return names


def loops(
    _inputs: dict, *, folder: str, names: list[str], curve: bool, processes: int = PROCESSES
) -> Callable[[], np.ndarray]:
    """mIoU at each threshold, or of the masks."""

    def predict(name: str, threshold: float) -> np.ndarray:
        if not curve:
            return np.array(Image.open(f"{folder}/masks/{name}.png"))
        channels = np.zeros((CLASSES, *SIZE), np.float32)
        for key, cam in np.load(f"{folder}/cams/{name}.npy", allow_pickle=True).item().items():
            channels[key + 1] = cam
        channels[0] = threshold
        return np.argmax(channels, axis=0).astype(np.uint8)

    def count(threshold: float, some: list[str], totals: list[Any]) -> None:
        right, found, true = np.zeros(CLASSES), np.zeros(CLASSES), np.zeros(CLASSES)
        for name in some:
            prediction = predict(name, threshold)
            truth = np.array(Image.open(f"{folder}/truth/{name}.png"))
            known = truth < 255
            same = (prediction == truth) * known
            for c in range(CLASSES):
                found[c] += np.sum((prediction == c) * known)
                true[c] += np.sum((truth == c) * known)
                right[c] += np.sum((truth == c) * same)
        for total, counted in zip(totals, (right, found, true), strict=True):
            with total.get_lock():
                np.frombuffer(total.get_obj())[:] += counted

    def one(threshold: float) -> float:
        totals = [context.Array("d", CLASSES) for _ in range(3)]
        shares = [names[start::processes] for start in range(processes)]
        started = [context.Process(target=count, args=(threshold, some, totals)) for some in shares]
        for process in started:
            process.start()
        for process in started:
            process.join()
        right, found, true = (np.frombuffer(total.get_obj()) for total in totals)
        return float(np.mean(right / (true + found - right + 1e-10)))

    context = multiprocessing.get_context("fork")

    thresholds = np.arange(THRESHOLDS) / 100 if curve else [0.0]
    return lambda: np.array([one(threshold) for threshold in thresholds])


def ours(
    _inputs: dict, *, folder: str, names: list[str], curve: bool, **_peers: int
) -> Callable[[], np.ndarray]:
    from sbnet.data.datasets.collection import Collection, Photo
    from sbnet.data.datasets.labels import VOC_CLASSES
    from sbnet.steps.evaluate import evaluate_masks, evaluate_scores

    root = Path(folder)
    photos = tuple(Photo(name, root, (), root / "truth" / f"{name}.png") for name in names)
    collection = Collection(VOC_CLASSES, photos, "benchmark")
    if curve:
        return lambda: np.array(
            (evaluate_scores(root / "scores", collection, cut=0.2, absent="zero") or {})["curve"]
        )
    return lambda: np.array([(evaluate_masks(root / "masks", collection, absent="zero") or {})["miou"]])


def main(photos: int) -> str:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        names = make_files(Path(folder), photos)
        for what, curve, runs in (
            (f"{THRESHOLDS}-threshold curve", True, 3),
            ("one mIoU, PNG pairs", False, 5),
        ):
            sides = [Side("loops", __file__, "loops"), Side("sbnet", __file__, "ours")]
            there, here = compare(*sides, {}, runs=runs, folder=folder, names=names, curve=curve)
            difference = np.abs(there.result - here.result).max()
            rows.append((f"{what}, {photos} images", there, here, f"largest difference {difference:.0e}"))
    return table("Evaluation, 500 x 375, 21 classes; both on all cores", rows)


if __name__ == "__main__":
    print(main(int(sys.argv[1]) if len(sys.argv) > 1 else 100))
