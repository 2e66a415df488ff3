from __future__ import annotations

from pathlib import Path

from sbnet.data.datasets.collection import Collection, Photo
from sbnet.data.shown import shown_images


def _images(count: int, *, classes: int, truth: bool) -> list[Photo]:
    mask = Path("mask.png") if truth else None
    return [Photo(f"{truth}{n}", Path(f"{n}.jpg"), (1 + n % classes,), mask) for n in range(count)]


def _collection(images: list[Photo]) -> Collection:
    return Collection(tuple("abcdef"), tuple(images), "test")


def test_images_are_spread_over_the_classes() -> None:
    rare = Photo("rare", Path("rare.jpg"), (5,), Path("mask.png"))
    chosen = shown_images(_collection([*_images(40, classes=2, truth=True), rare]), 6)
    shown = [image.classes[0] for image in chosen]
    assert (shown.count(1), shown.count(2), shown.count(5)) in {(3, 2, 1), (2, 3, 1)}


def test_choice_does_not_depend_on_the_order() -> None:
    images = _images(30, classes=5, truth=True)
    assert shown_images(_collection(images), 7) == shown_images(_collection(images[::-1]), 7)


def test_images_with_ground_truth_come_first() -> None:
    chosen = shown_images(
        _collection(_images(10, classes=5, truth=False) + _images(3, classes=5, truth=True)), 5
    )
    assert [image.mask is not None for image in chosen] == [True, True, True, False, False]


def test_images_without_classes_and_short_splits() -> None:
    assert len(shown_images(_collection([Photo("x", Path("x.jpg")), Photo("y", Path("y.jpg"))]), 12)) == 2
    assert shown_images(_collection([]), 12) == []
