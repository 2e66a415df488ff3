"""Measure masks and class score maps against ground truth, where there is any.

Shapes: C classes, K foreground classes present, H x W pixels at the image's original size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sbnet import metrics
from sbnet.data.datasets.collection import Collection, Photo
from sbnet.data.datasets.labels import VOC_CLASSES, read_class_names, read_list
from sbnet.data.io.files import check_output, read_scores
from sbnet.data.io.image import read_mask
from sbnet.data.io.named_files import masks_by_name
from sbnet.errors import SBNetError
from sbnet.metrics.confusion import Absent
from sbnet.work.parallel import cpu_count, map_unordered

ABSENT = {"nan": "ignored", "zero": "counted as 0"}  # a class in neither prediction nor truth


def evaluate_masks(folder: Path, collection: Collection, *, absent: Absent = "nan") -> dict[str, Any] | None:
    """Metrics of `folder`/NAME.png over the images that have ground truth; None where none has.

    One confusion matrix over all of them; ignore 255. Raises SBNetError for a missing or unfit mask.
    """
    known = _with_truth(collection)
    if not known:
        return None
    pairs = [(folder / f"{photo.name}.png", photo.mask) for photo in known if photo.mask]
    facts = evaluate_pairs(pairs, collection.classes, absent=absent)
    return facts | {"without_ground_truth": len(collection) - len(known)}


def evaluate_pairs(
    pairs: Sequence[tuple[Path, Path]], classes: Sequence[str], *, absent: Absent = "nan"
) -> dict[str, Any]:
    """Metrics of (prediction, truth) mask files, over one confusion matrix."""
    count = len(classes)

    def measure(pair: tuple[Path, Path]) -> np.ndarray:
        truth = read_mask(pair[1], classes=count)
        prediction = read_mask(pair[0], classes=count)
        _check_size(pair, prediction.shape, truth.shape)
        try:
            return metrics.confusion(prediction, truth, classes=count)
        except SBNetError as error:
            raise SBNetError(f"{pair[0]}: {error}; a mask to measure needs a class at every pixel") from error

    confusion = sum(map_unordered(measure, pairs, workers=cpu_count()), np.zeros((count, count), np.int64))
    return _facts(confusion, classes, absent, len(pairs))


def evaluate_folders(
    predictions: Path,
    truth: Path,
    *,
    classes: Path | None = None,
    names: Path | None = None,
    absent: Absent = "nan",
    target: Path | None = None,
) -> dict[str, Any]:
    """Metrics of `predictions`/NAME.png against `truth`/NAME.png.

    classes: a file of class names; by default `classes.txt` in or beside `truth`, else VOC's. names: a file with
    one image name per line, each of which both folders must have; by default the names that both have. target: the file
    that the caller will write. Raises SBNetError where that is one of the files that are read.
    """
    files = [_masks(folder) for folder in (predictions, truth)]
    beside = next(
        (path for path in (truth / "classes.txt", truth.parent / "classes.txt") if path.is_file()), None
    )
    class_file = classes or beside
    if target is not None:
        check_output(target, [class_file, names, *files[0].values(), *files[1].values()])
    class_names = read_class_names(class_file) if class_file else VOC_CLASSES
    if names is not None:
        wanted = read_list(names)
        for folder, there in zip((predictions, truth), files, strict=True):
            for line, name in wanted:
                if name not in there:
                    raise SBNetError(
                        f"{names}, line {line}: there is no {folder / name}.png; add it or remove the line"
                    )
        common = [name for _, name in wanted]
        left_out = (0, 0)
    else:
        common = sorted(files[0].keys() & files[1].keys())
        left_out = (len(files[0]) - len(common), len(files[1]) - len(common))
    if not common:
        raise SBNetError(
            f"{predictions} and {truth} have no mask of the same name; masks are paired by file name"
        )
    facts = evaluate_pairs([(files[0][name], files[1][name]) for name in common], class_names, absent=absent)
    return facts | {
        "without_ground_truth": left_out[0],
        "without_prediction": left_out[1],
        "class_list": str(class_file)
        if class_file
        else "PASCAL VOC (no classes.txt beside the ground truth)",
    }


def _masks(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise SBNetError(f"{folder}: no such folder of masks")
    return masks_by_name(folder)


def evaluate_scores(
    folder: Path, collection: Collection, *, cut: float, absent: Absent = "nan"
) -> dict[str, Any] | None:
    """Metrics of the class score maps `folder`/NAME.npz at the best background score, with the curve over all of them.

    `miou_at_setting`: at the score nearest to `cut`, where the recipe's own background cuts; a cut
    beyond the usual scores is one more of them.
    None where no image has ground truth.
    """
    known = _with_truth(collection)
    if not known:
        return None
    count = len(collection.classes)
    usual = metrics.ThresholdSweep(count).thresholds
    sweep = metrics.ThresholdSweep(count, np.append(usual, cut) if cut > usual[-1] else usual)

    def read(photo: Photo) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        assert photo.mask is not None
        path = folder / f"{photo.name}.npz"
        scores, classes = read_scores(path)
        truth = read_mask(photo.mask, classes=count)
        _check_size((path, photo.mask), scores.shape[1:], truth.shape)
        return scores, classes, truth

    for scores, classes, truth in map_unordered(read, known, workers=cpu_count()):
        sweep.add(scores, classes, truth)
    thresholds = np.asarray(sweep.thresholds, float)
    curve = [float(miou) if np.isfinite(miou) else None for miou in sweep.curve(absent=absent)]
    best = int(np.argmax([-1.0 if miou is None else miou for miou in curve[: len(usual)]]))
    setting = int(np.abs(thresholds - cut).argmin())
    return _facts(sweep.confusions()[best], collection.classes, absent, len(known)) | {
        "threshold": float(thresholds[best]),
        "thresholds": thresholds.round(4).tolist(),
        "curve": curve,
        "setting": float(thresholds[setting]),
        "miou_at_setting": curve[setting],
        "without_ground_truth": len(collection) - len(known),
    }


def _facts(confusion: np.ndarray, classes: Sequence[str], absent: Absent, images: int) -> dict[str, Any]:
    return metrics.summary(confusion, classes, absent=absent) | {"absent": ABSENT[absent], "images": images}


def _with_truth(photos: Iterable[Photo]) -> list[Photo]:
    return [photo for photo in photos if photo.mask is not None]


def _check_size(paths: tuple[Path, Path], predicted: tuple[int, ...], true: tuple[int, ...]) -> None:
    if predicted != true:
        raise SBNetError(
            f"{paths[0]} has {predicted[1]} x {predicted[0]} pixels, but its ground truth {paths[1]} has "
            f"{true[1]} x {true[0]}; both must have the image's size"
        )
