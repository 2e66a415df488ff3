"""Label vectors, counts, subsets, and what cannot be trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sbnet.data.datasets.collection import Collection, Photo
from sbnet.data.datasets.labels import VOC_CLASSES
from sbnet.errors import SBNetError

NAMES = ("background", "cat", "dog", "cow")


def _pets(*present: tuple[int, ...], classes: tuple[str, ...] = NAMES) -> Collection:
    photos = tuple(Photo(f"p{i}", Path(f"p{i}.jpg"), ids) for i, ids in enumerate(present))
    return Collection(classes, photos, "pets")


def test_label_vectors_and_counts() -> None:
    pets = _pets((1,), (), (1, 3))
    vectors = [pets.label_vector(photo) for photo in pets]
    assert all(vector.dtype == np.float32 for vector in vectors)
    np.testing.assert_array_equal(vectors, [[1, 0, 0], [0, 0, 0], [1, 0, 1]])
    np.testing.assert_array_equal(pets.class_counts(), [3, 2, 0, 1])
    assert len(pets) == 3


def test_trainable_needs_every_class_and_no_empty_photo() -> None:
    _pets((1, 2), (3,)).check_trainable()
    with pytest.raises(SBNetError, match=r"pets: image 'p1' has no class \(and 5 more\)"):
        _pets((1, 2, 3), *[()] * 6).check_trainable()
    with pytest.raises(SBNetError, match="'dog' without any image"):
        _pets((1,), (3,)).check_trainable()
    with pytest.raises(SBNetError, match=r"without any image.*no classes\.txt.*PASCAL VOC's: write your own"):
        _pets((1,), (3,), classes=VOC_CLASSES).check_trainable()


def test_ids_and_classes_that_do_not_fit() -> None:
    with pytest.raises(SBNetError, match="image 'p0' has class ids"):
        _pets((4,))
    with pytest.raises(SBNetError, match="image 'p0' has class ids"):
        _pets((0,))
    with pytest.raises(SBNetError, match="1 classes in all"):
        _pets(classes=("background",))
    with pytest.raises(SBNetError, match="256 classes in all"):
        _pets(classes=tuple(str(i) for i in range(256)))
