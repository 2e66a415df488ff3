"""Confident labels of every combination of what the two CRF results say."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sbnet.ops import confident_labels, strongest_labels


def marginals(winners):
    """(3, 1, n) with the given argmax at each pixel; -1 for no marginals at all."""
    result = np.zeros((3, 1, len(winners)), np.float32)
    for x, winner in enumerate(winners):
        if winner >= 0:
            result[:, 0, x] = 0.1
            result[winner, 0, x] = 0.8
    return result


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_every_combination(kind):
    low = marginals([0, 0, 0, 1, 2, 1, -1])
    high = marginals([0, 1, 2, 1, 1, 0, -1])
    label = confident_labels(kind(low), kind(high), kind(np.array([7, 15])))
    assert np.asarray(label).tolist() == [[0, 255, 255, 7, 15, 0, 255]]
    assert str(label.dtype).endswith("uint8")


def test_photo_without_classes_is_background():
    ones = np.ones((1, 2, 2), np.float32)
    assert not confident_labels(ones, ones, np.zeros(0, np.int64)).any()


def test_wrong_number_of_classes_is_refused():
    ones = np.ones((3, 2, 2), np.float32)
    with pytest.raises(ValueError, match="3 classes"):
        confident_labels(ones, ones, np.arange(3))


def test_nan_is_refused_with_its_place():
    low, high = np.ones((2, 3, 4), np.float32), np.ones((2, 3, 4), np.float32)
    high[1, 2, 3] = np.nan
    with pytest.raises(ValueError, match=r"high: NaN at index \(1, 2, 3\)"):
        confident_labels(low, high, np.arange(1, 2))


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
@settings(max_examples=30)
@given(seed=st.integers(0, 2**16), channels=st.integers(1, 256), levels=st.integers(1, 5))
def test_strongest_labels_are_the_argmax(kind, seed, channels, levels):
    rng = np.random.default_rng(seed)
    scores = rng.integers(-levels, levels, (channels, 3, 5)).astype(np.float32)  # with many equal ones
    found = strongest_labels(kind(scores))
    assert type(found) is type(kind(scores))
    assert np.asarray(found).dtype == np.uint8
    np.testing.assert_array_equal(np.asarray(found), scores.argmax(0))
    ids = rng.permutation(256)[: channels - 1]
    expected = np.concatenate([[0], ids])[scores.argmax(0)]
    np.testing.assert_array_equal(np.asarray(strongest_labels(kind(scores), kind(ids))), expected)


def test_what_has_no_strongest_label_is_refused():
    scores = np.zeros((3, 4, 5), np.float32)
    with pytest.raises(ValueError, match=r"scores \(3, 4, 5\) for 3 classes"):
        strongest_labels(scores, np.arange(3))
    with pytest.raises(ValueError, match=r"scores \(257, 1, 1\) for any number of classes"):
        strongest_labels(np.zeros((257, 1, 1)))
    scores[1, 2, 3] = np.nan
    with pytest.raises(ValueError, match=r"scores: NaN at index \(1, 2, 3\)"):
        strongest_labels(scores)
