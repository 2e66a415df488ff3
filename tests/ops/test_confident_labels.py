"""Confident labels of every combination of what the two CRF results say."""

import numpy as np
import pytest
import torch

from sbnet.ops import confident_labels


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
