from __future__ import annotations

from pathlib import Path

import numpy as np

from sbnet.data.datasets.collection import Collection, Photo
from sbnet.report.charts import smooth, threshold_curve
from sbnet.report.page import duration
from sbnet.report.rows import shown_photos


def _photos(count: int, *, classes: int, truth: bool) -> list[Photo]:
    mask = Path("mask.png") if truth else None
    return [Photo(f"{truth}{n}", Path(f"{n}.jpg"), (1 + n % classes,), mask) for n in range(count)]


def _collection(photos: list[Photo]) -> Collection:
    return Collection(tuple("abcdef"), tuple(photos), "test")


def test_photos_are_spread_over_the_classes() -> None:
    rare = Photo("rare", Path("rare.jpg"), (5,), Path("mask.png"))
    chosen = shown_photos(_collection([*_photos(40, classes=2, truth=True), rare]), 6)
    shown = [photo.classes[0] for photo in chosen]
    assert (shown.count(1), shown.count(2), shown.count(5)) in {(3, 2, 1), (2, 3, 1)}


def test_choice_does_not_depend_on_the_order() -> None:
    photos = _photos(30, classes=5, truth=True)
    assert shown_photos(_collection(photos), 7) == shown_photos(_collection(photos[::-1]), 7)


def test_photos_with_ground_truth_come_first() -> None:
    chosen = shown_photos(
        _collection(_photos(10, classes=5, truth=False) + _photos(3, classes=5, truth=True)), 5
    )
    assert [photo.mask is not None for photo in chosen] == [True, True, True, False, False]


def test_photos_without_classes_and_short_lists() -> None:
    assert len(shown_photos(_collection([Photo("x", Path("x.jpg")), Photo("y", Path("y.jpg"))]), 12)) == 2
    assert shown_photos(_collection([]), 12) == []


def test_smoothing_is_bounded_and_keeps_the_mean() -> None:
    step = np.arange(10_000.0)
    values = np.where(step % 2 == 0, 1.0, 3.0)
    values[17] = np.nan
    places, raw, average = smooth(step, values)
    assert len(places) == len(raw) == len(average) <= 300
    np.testing.assert_allclose(average, 2.0, atol=0.02)
    assert [part.tolist() for part in smooth(np.array([4.0]), np.array([0.5]))] == [[4.0], [0.5], [0.5]]


def test_threshold_curve() -> None:
    facts = {"thresholds": [0, 0.5], "curve": [0.2, 0.4], "setting": 0, "miou_at_setting": 0.2}
    curve = threshold_curve("cam", facts)
    assert curve is not None
    assert (curve.best, curve.best_miou) == (0.5, 0.4)
    assert curve.cost == 0.2
    assert threshold_curve("cam", {}) is None
    assert threshold_curve("cam", {"thresholds": [0], "curve": [None]}) is None


def test_duration() -> None:
    assert [duration(value) for value in (None, 4.24, 200, 7500)] == ["", "4.2 s", "3 min 20 s", "2 h 05 min"]
