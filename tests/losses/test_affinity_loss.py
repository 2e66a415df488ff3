"""AffinityNet's loss against the golden numbers and the formula written out."""

import math

import numpy as np
import pytest
import torch

from sbnet import losses


@pytest.mark.parametrize("seed", [0, 1])
def test_reference_numbers(golden, seed):
    numbers, labels = golden.load("affinity_loss", seed), golden.load("affinity_labels", seed)
    names = ("background_positive", "foreground_positive", "negative")
    masks = [torch.from_numpy(labels[name].astype(bool)) for name in names]
    affinity = torch.from_numpy(numbers["affinity"]).requires_grad_()
    loss = losses.affinity(affinity, *masks)
    loss.backward()
    assert loss.item() == pytest.approx(float(numbers["loss"]), rel=1e-6)
    none = torch.zeros_like(masks[0])
    for position, (part, weight) in enumerate(
        (("background", 0.25), ("foreground", 0.25), ("negative", 0.5))
    ):
        alone = [mask if index == position else none for index, mask in enumerate(masks)]
        found = losses.affinity(affinity, *alone).item()
        assert found == pytest.approx(weight * float(numbers[part]), rel=1e-5)
    scale = np.abs(numbers["grad"]).max()
    np.testing.assert_allclose(affinity.grad, numbers["grad"], rtol=0, atol=1e-6 * scale)


def test_batch_is_pooled_and_empty_kinds_add_nothing():
    affinity = torch.tensor([[[0.5, 0.2]], [[0.9, 0.3]]])
    background = torch.tensor([[[True, False]], [[True, True]]])
    none = torch.zeros_like(background)
    expected = -sum(math.log(a + 1e-5) for a in (0.5, 0.9, 0.3)) / (3 + 1e-5) / 4
    assert losses.affinity(affinity, background, none, none).item() == pytest.approx(expected, rel=1e-6)
    assert losses.affinity(affinity, none, none, none).item() == 0


def test_perfect_answers_cost_nothing():
    ones, none = torch.ones(2, 3), torch.zeros(2, 3, dtype=torch.bool)
    assert losses.affinity(ones, ~none, none, none).abs() < 1e-4
    assert losses.affinity(1 - ones, none, none, ~none).abs() < 1e-4
