"""The sweep against an argmax at every threshold, of numpy arrays and of tensors."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sbnet import metrics
from sbnet.errors import SBNetError

CLASSES = 5


class OfTensors(metrics.ThresholdSweep):
    def add(self, scores, class_ids, target):
        super().add(torch.tensor(scores), torch.tensor(class_ids), torch.tensor(target))


@pytest.fixture(scope="module", params=[metrics.ThresholdSweep, OfTensors])
def sweep_of(request):
    return request.param


@st.composite
def photos(draw):
    """Scores on a grid of hundredths, so that many are equal to a threshold or to each other."""
    count = draw(st.integers(0, 3))
    generator = np.random.default_rng(draw(st.integers(0, 10_000)))
    scores = (generator.integers(0, 80, (count, 4, 5)) / 100).astype(np.float32)
    ids = generator.permutation(np.arange(1, CLASSES))[:count]
    return scores, ids, generator.choice(np.array([0, 1, 2, 3, 4, 255], np.uint8), (4, 5))


@given(collection=st.lists(photos(), min_size=1, max_size=3))
@settings(max_examples=30, deadline=None)
def test_sweep_is_an_argmax_at_every_threshold(sweep_of, collection):
    sweep = sweep_of(CLASSES)
    for photo in collection:
        sweep.add(*photo)
    matrices = sweep.confusions()
    assert matrices.shape == (60, CLASSES, CLASSES)
    for threshold, found in zip(np.arange(60) / 100, matrices, strict=True):
        expected = np.zeros((CLASSES, CLASSES), np.int64)
        for scores, ids, target in collection:
            with_background = np.concatenate([np.full((1, 4, 5), threshold, np.float32), scores])
            prediction = np.concatenate([[0], ids])[with_background.argmax(0)]
            expected += metrics.confusion(prediction, target, classes=CLASSES)
        np.testing.assert_array_equal(found, expected)
    curve = sweep.curve(absent="zero")
    threshold, best = sweep.best(absent="zero")
    assert best == curve.max() == curve[round(threshold * 100)]


def test_own_thresholds_and_mistakes(sweep_of):
    sweep = sweep_of(2, np.array([0.1, 0.5]))
    scores, target = np.full((1, 2, 2), 0.3), np.ones((2, 2), np.uint8)
    sweep.add(scores, np.array([1]), target)
    assert sweep.best() == (pytest.approx(0.1), 1.0)
    for wrong in ([0.5, 0.1], [], [0.1, np.nan], [0.1, np.inf]):
        with pytest.raises(ValueError, match="ascending"):
            metrics.ThresholdSweep(2, np.array(wrong))
    with pytest.raises(ValueError, match="ignore: -1 does not fit"):
        metrics.ThresholdSweep(2, ignore=-1)
    for ids in ([2], [1, 1], [-1]):
        with pytest.raises(ValueError, match=r"class_ids: .* are not 1 classes"):
            sweep.add(scores, np.array(ids), target)
    with pytest.raises(SBNetError, match="float64 holds no class ids"):
        sweep.add(scores, np.array([1]), np.ones((2, 2)))
    with pytest.raises(ValueError, match="differ in size"):
        sweep.add(scores, np.array([1]), target[:1])
    with pytest.raises(SBNetError, match="class 7"):
        sweep.add(scores, np.array([1]), target * 7)
    with pytest.raises(SBNetError, match="from 300 to 300; they must fit into 8 bits"):
        sweep.add(scores, np.array([1]), np.full((2, 2), 300))
    scores[0, 1, 0] = np.nan
    with pytest.raises(ValueError, match=r"NaN at pixel \(1, 0\)"):
        sweep.add(scores, np.array([1]), target)


@given(
    values=st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=40, unique=True),
    seed=st.integers(0, 10_000),
)
@settings(max_examples=50, deadline=None)
def test_any_thresholds_and_values(sweep_of, values, seed):
    """Uneven thresholds, and values on them, between and beyond, infinity too: how many lie below each."""
    generator = np.random.default_rng(seed)
    thresholds = np.sort(np.array(values, np.float32))
    scores = np.concatenate([thresholds, generator.normal(0, 2, 50), [np.inf, -np.inf]]).astype(np.float32)
    sweep = sweep_of(2, thresholds)
    sweep.add(scores[None, None], np.array([1]), np.ones((1, len(scores)), np.uint8))
    above = [(scores > threshold).sum() for threshold in thresholds]
    np.testing.assert_array_equal(sweep.confusions()[:, 1, 1], above)
