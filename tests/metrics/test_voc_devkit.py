"""Figures as the VOC 2012 development kit defines them, re-stated step by step, against `metrics` and `sbnet eval`.

The kit numbers labels from 1, drops pixels whose true label is 255, histograms true + predicted * classes, adds up over
the photos, and gives 100 * both / (true + predicted - both) of each class, and their mean.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sbnet import metrics
from sbnet.data.datasets.labels import VOC_CLASSES
from sbnet.data.io.files import write_label
from sbnet.errors import SBNetError
from sbnet.steps.evaluate import evaluate_folders

Pair = tuple[np.ndarray, np.ndarray]  # prediction, truth


def devkit(pairs: list[Pair], classes: int) -> tuple[np.ndarray, float, np.ndarray]:
    """Percentages of the classes, their mean, and the counts (true, predicted)."""
    counts = np.zeros((classes, classes))
    for found, true in pairs:
        assert found.max() < classes
        known = true < 255
        summed = 1 + true.astype(float) + found.astype(float) * classes
        bins = np.zeros(classes * classes)
        for value in summed[known]:
            bins[int(value) - 1] += 1
        counts += bins.reshape(classes, classes, order="F")
    accuracies = np.empty(classes)
    for j in range(classes):
        both = counts[j, j]
        union = counts[j, :].sum() + counts[:, j].sum() - both
        accuracies[j] = 100 * both / union if union else np.nan
    return accuracies, float(accuracies.mean()), counts


def test_worked_by_hand() -> None:
    """Two photos, three classes. True: six of 0, three of 1, one of 2, two of 255."""
    true = [np.array([[0, 0, 1], [0, 255, 1]], np.uint8), np.array([[0, 0, 2], [0, 1, 255]], np.uint8)]
    found = [np.array([[0, 1, 1], [0, 1, 2]], np.uint8), np.array([[0, 0, 2], [2, 1, 0]], np.uint8)]
    pairs = list(zip(found, true, strict=True))
    accuracies, mean, counts = devkit(pairs, 3)
    np.testing.assert_array_equal(counts, [[4, 1, 1], [0, 2, 1], [0, 0, 1]])
    np.testing.assert_allclose(accuracies, [100 * 4 / 6, 100 * 2 / 4, 100 * 1 / 3])
    ours = sum(metrics.confusion(*pair, classes=3) for pair in pairs)
    np.testing.assert_array_equal(ours, counts)
    assert float(metrics.mean_iou(ours)) == pytest.approx((4 / 6 + 2 / 4 + 1 / 3) / 3)
    assert mean == pytest.approx(50)


labels = arrays(np.uint8, (5, 7), elements=st.integers(0, 20))
truths = arrays(np.uint8, (5, 7), elements=st.sampled_from([*range(21), 255]))


@given(st.lists(st.tuples(labels, truths), min_size=1, max_size=3))
def test_any_masks(pairs: list[Pair]) -> None:
    every = np.arange(21, dtype=np.uint8)[None]  # as VOC's sets have every class
    pairs = [*pairs, (every, every)]
    accuracies, mean, counts = devkit(pairs, 21)
    ours = sum(metrics.confusion(*pair, classes=21) for pair in pairs)
    np.testing.assert_array_equal(ours, counts)
    np.testing.assert_allclose(100 * metrics.iou(ours), accuracies, rtol=1e-12)
    np.testing.assert_allclose(100 * metrics.mean_iou(ours), mean, rtol=1e-12)


def test_eval_of_folders(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pairs = []
    for index in range(4):
        true = rng.integers(0, 21, (30, 40), dtype=np.uint8)
        found = np.where(rng.random(true.shape) < 0.7, true, rng.integers(0, 21, true.shape)).astype(np.uint8)
        true[rng.random(true.shape) < 0.1] = 255
        found[true == 255] %= 21
        write_label(tmp_path / f"found/{index}.png", found)
        write_label(tmp_path / f"true/{index}.png", true)
        pairs.append((found, true))
    accuracies, mean, _ = devkit(pairs, 21)
    facts = evaluate_folders(tmp_path / "found", tmp_path / "true")
    assert 100 * facts["miou"] == pytest.approx(mean, rel=1e-12)
    for name, accuracy in zip(VOC_CLASSES, accuracies, strict=True):
        assert 100 * facts["per_class"][name] == pytest.approx(accuracy, rel=1e-12)
    write_label(tmp_path / "found/0.png", np.zeros((30, 39), np.uint8))  # the kit refuses another size, too
    with pytest.raises(SBNetError, match=r"39 x 30 .* 40 x 30; both must have"):
        evaluate_folders(tmp_path / "found", tmp_path / "true")
