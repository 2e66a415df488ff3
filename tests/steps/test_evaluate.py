from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sbnet.data.datasets.collection import Collection, Photo
from sbnet.data.io.files import read_label, read_scores, write_label, write_scores
from sbnet.errors import SBNetError
from sbnet.metrics import confusion, iou
from sbnet.steps.evaluate import evaluate_masks, evaluate_scores
from sbnet.steps.settings import equal_score

CLASSES = ("background", "cat", "dog", "bird")


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    """Five images of several sizes; the last has no ground truth."""
    photos = []
    for index in range(5):
        rng = np.random.default_rng(index)
        truth = rng.choice(np.array([0, 1, 2, 255], np.uint8), (6 + index, 7))
        mask = tmp_path / "truth" / f"p{index}.png" if index < 4 else None
        if mask:
            write_label(mask, truth)
        write_label(tmp_path / "masks" / f"p{index}.png", rng.integers(0, 3, truth.shape, np.uint8))
        write_scores(tmp_path / "scores" / f"p{index}.npz", rng.random((2, *truth.shape)), np.array([1, 2]))
        photos.append(Photo(f"p{index}", tmp_path / f"p{index}.jpg", (1, 2), mask))
    return Collection(CLASSES, tuple(photos), "five")


def test_masks_are_one_confusion_over_the_set(collection: Collection, tmp_path: Path) -> None:

    facts = evaluate_masks(tmp_path / "masks", collection)
    assert facts is not None
    pairs = [
        (read_label(tmp_path / "masks" / f"p{i}.png"), read_label(tmp_path / "truth" / f"p{i}.png"))
        for i in range(4)
    ]
    expected = iou(sum(confusion(*pair, classes=4) for pair in pairs))
    assert list(facts["per_class"].values())[:3] == pytest.approx(expected[:3].tolist())
    assert facts["per_class"]["bird"] is None
    assert facts["miou"] == pytest.approx(np.nanmean(expected))
    assert (facts["images"], facts["without_ground_truth"], facts["absent"]) == (4, 1, "ignored")
    zero = evaluate_masks(tmp_path / "masks", collection, absent="zero")
    assert zero is not None
    assert zero["miou"] == pytest.approx(np.nansum(expected) / 4)
    assert zero["absent"] == "counted as 0"


def test_scores_at_every_background_score(collection: Collection, tmp_path: Path) -> None:

    facts = evaluate_scores(tmp_path / "scores", collection, cut=equal_score(4))
    assert facts is not None
    total = np.zeros((4, 4), np.int64)
    for index in range(4):
        scores, classes = read_scores(tmp_path / "scores" / f"p{index}.npz")
        competing = np.concatenate([np.full((1, *scores.shape[1:]), facts["threshold"], np.float32), scores])
        prediction = np.array([0, *classes])[competing.argmax(0)]
        total += confusion(prediction, read_label(tmp_path / "truth" / f"p{index}.png"), classes=4)
    assert facts["miou"] == pytest.approx(np.nanmean(iou(total)))
    assert facts["miou"] == pytest.approx(max(facts["curve"]))
    assert len(facts["curve"]) == len(facts["thresholds"]) == 60
    assert facts["setting"] == 0.28  # (1 - 0.2755)^4 = 0.2755
    assert facts["miou_at_setting"] == facts["curve"][28]


def test_nothing_to_measure_by(collection: Collection, tmp_path: Path) -> None:
    bare = Collection(CLASSES, collection.photos[4:], "bare")
    assert evaluate_masks(tmp_path / "masks", bare) is None
    assert evaluate_scores(tmp_path / "scores", bare, cut=equal_score(4)) is None


def test_missing_and_unfit_masks_are_named(collection: Collection, tmp_path: Path) -> None:
    write_label(tmp_path / "masks" / "p1.png", np.zeros((3, 5), np.uint8))
    with pytest.raises(SBNetError, match=r"p1.png has 5 x 3 pixels"):
        evaluate_masks(tmp_path / "masks", collection)
    (tmp_path / "masks" / "p1.png").unlink()
    with pytest.raises(SBNetError, match=r"p1.png"):
        evaluate_masks(tmp_path / "masks", collection)


def test_a_prediction_with_ignore_is_named(collection: Collection, tmp_path: Path) -> None:
    path = tmp_path / "masks" / "p1.png"
    write_label(path, np.full_like(read_label(path), 255))
    with pytest.raises(SBNetError, match=r"masks.p1\.png: prediction has class 255"):
        evaluate_masks(tmp_path / "masks", collection)


def test_a_cut_beyond_the_usual_scores_is_measured_where_it_is(
    collection: Collection, tmp_path: Path
) -> None:
    facts = evaluate_scores(tmp_path / "scores", collection, cut=0.7)
    assert facts is not None
    assert facts["setting"] == pytest.approx(0.7)
    assert facts["miou_at_setting"] == facts["curve"][60]
    matrix = np.zeros((4, 4), np.int64)
    for photo in collection.photos[:4]:
        scores, classes = read_scores(tmp_path / "scores" / f"{photo.name}.npz")
        label = np.where(scores.max(0) > 0.7, classes[scores.argmax(0)], 0).astype(np.uint8)
        matrix += confusion(label, read_label(photo.mask), classes=4)
    assert facts["miou_at_setting"] == pytest.approx(np.nanmean(iou(matrix)))
