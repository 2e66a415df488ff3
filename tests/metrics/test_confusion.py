"""Confusion matrix and IoU against double loops."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sbnet import metrics
from sbnet.errors import SBNetError
from ways import NO_CUDA

labels = arrays(np.uint8, (4, 5), elements=st.sampled_from([0, 1, 2, 255]))


@given(labels, labels)
def test_confusion_is_a_double_loop(prediction, target):
    prediction = prediction % 3
    expected = np.zeros((3, 3), np.int64)
    for wanted, found in zip(target.flat, prediction.flat, strict=True):
        if wanted != 255:
            expected[wanted, found] += 1
    for dtype in (np.uint8, np.int64):
        found, wanted = prediction.astype(dtype), target.astype(dtype)
        np.testing.assert_array_equal(metrics.confusion(found, wanted, classes=3), expected)
        counted = metrics.confusion(torch.from_numpy(found), torch.from_numpy(wanted), classes=3)
        np.testing.assert_array_equal(counted, expected)
    np.testing.assert_array_equal(metrics.iou(counted), metrics.iou(expected))
    for c, value in enumerate(metrics.iou(expected)):
        known = target != 255
        union = (((prediction == c) | (target == c)) & known).sum()
        both = ((prediction == c) & (target == c)).sum()
        assert value == pytest.approx(both / union) if union else np.isnan(value)


@pytest.mark.parametrize("ignore", [-1, 255, 256])
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.int32])
def test_ignore_is_a_number_and_does_not_wrap(ignore, dtype):
    target, prediction = np.array([[0, 1], [1, 0]], dtype), np.zeros((2, 2), dtype)
    np.testing.assert_array_equal(
        metrics.confusion(prediction, target, classes=2, ignore=ignore), [[2, 0], [2, 0]]
    )


def test_absent_classes():
    matrix = np.array([[6, 2, 0], [0, 4, 0], [0, 0, 0]])
    np.testing.assert_allclose(metrics.iou(matrix), [6 / 8, 4 / 6, np.nan])
    np.testing.assert_allclose(metrics.iou(matrix, absent="zero"), [6 / 8, 4 / 6, 0])
    assert metrics.mean_iou(matrix) == pytest.approx((6 / 8 + 4 / 6) / 2)
    assert metrics.mean_iou(matrix, absent="zero") == pytest.approx((6 / 8 + 4 / 6) / 3)


def test_foreground_miou_of_a_mask_that_misses_every_object():
    found = metrics.summary(np.array([[90, 0], [10, 0]]), ["background", "cat"])
    assert found["foreground_miou"] == 0
    assert found["miou"] == pytest.approx(0.45)


def test_summary_is_json():
    matrix = np.array([[6, 2, 0], [1, 3, 0], [0, 0, 0]])
    found = json.loads(json.dumps(metrics.summary(matrix, ["background", "cat", "dog"])))
    assert found["per_class"] == {"background": pytest.approx(6 / 9), "cat": 0.5, "dog": None}
    assert found["miou"] == pytest.approx((6 / 9 + 0.5) / 2)
    assert found["foreground_miou"] == 0.5
    assert found["pixel_accuracy"] == pytest.approx(9 / 12)
    assert found["foreground_precision"] == pytest.approx(3 / 5)
    assert found["foreground_recall"] == pytest.approx(3 / 4)
    empty = metrics.summary(np.zeros((2, 2), int), ["background", "cat"])
    assert empty["miou"] is empty["foreground_miou"] is None
    assert empty["pixel_accuracy"] is None


@pytest.mark.parametrize(
    ("prediction", "target", "message"),
    [
        (np.zeros((2, 2), int), np.zeros((2, 3), int), "differ in size"),
        (np.zeros((2, 2)), np.zeros((2, 2), int), "prediction: float64 holds no class ids"),
        (np.zeros((2, 2), int), np.zeros((2, 2)), "ground truth: float64 holds no class ids"),
        (np.full((2, 2), 9), np.zeros((2, 2), int), "prediction has class 9"),
        (np.zeros((2, 2), int), np.full((2, 2), 5), "ground truth has class 5"),
        (np.zeros((2, 2), int), np.full((2, 2), -1), "ground truth has class -1"),
        (np.full((2, 2), 9, np.uint8), np.zeros((2, 2), np.uint8), "prediction has class 9"),
        (np.zeros((2, 2), np.uint8), np.full((2, 2), 5, np.uint8), "ground truth has class 5"),
    ],
)
def test_wrong_input_is_named(prediction, target, message):
    with pytest.raises(SBNetError, match=message):
        metrics.confusion(prediction, target, classes=3)
    tensors = torch.from_numpy(prediction), torch.from_numpy(target)
    with pytest.raises(SBNetError, match=message.replace("float64", r"torch\.float64")):
        metrics.confusion(*tensors, classes=3)


@pytest.mark.gpu
@NO_CUDA
def test_counted_on_the_gpu():
    target = torch.tensor([[0, 1, 255, 2]], dtype=torch.uint8)
    prediction = torch.tensor([[0, 2, 1, 2]], dtype=torch.uint8)
    counted = metrics.confusion(prediction.cuda(), target.cuda(), classes=3)
    assert counted.is_cuda
    assert torch.equal(counted.cpu(), metrics.confusion(prediction, target, classes=3))
    assert metrics.summary(counted, ["a", "b", "c"])["pixel_accuracy"] == pytest.approx(2 / 3)
    with pytest.raises(SBNetError, match="prediction has class 9"):
        metrics.confusion(prediction.cuda() * 0 + 9, target.cuda(), classes=3)
