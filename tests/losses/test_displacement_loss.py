"""IRN's displacement loss against the formula pair by pair."""

import pytest
import torch

from sbnet import losses
from sbnet.ops import pair_labels, pair_offsets


def brute_force(field, background, foreground, radius):
    w = field.shape[-1]
    columns = w - 2 * (radius - 1)
    total = torch.zeros((), dtype=field.dtype)
    for mask, pulls in ((background, 0), (foreground, 1)):
        cost = torch.zeros((), dtype=field.dtype)
        for b, p, i in mask.nonzero().tolist():
            y, x = i // columns, radius - 1 + i % columns
            dy, dx = pair_offsets(radius)[p]
            difference = field[b, :, y, x] - field[b, :, y + dy, x + dx]
            cost = cost + (difference - pulls * torch.tensor([dy, dx])).abs().sum()
        total = total + cost / (2 * mask.sum() + 1e-5) / 2
    return total


def test_every_pair_in_values_and_gradients():
    field = torch.randn(2, 2, 8, 10, dtype=torch.float64, requires_grad=True)
    label = torch.randint(0, 3, (2, 8, 10), dtype=torch.uint8)
    label[:, 3] = 255
    background, foreground, _ = pair_labels(label, radius=3)
    expected = brute_force(field, background, foreground, 3)
    found = losses.displacement(field, background, foreground, radius=3)
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    gradients = [torch.autograd.grad(3 * each, field)[0] for each in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-8)


def test_arrows_to_one_centre_cost_nothing():
    """Whatever the centre: the loss knows only differences."""
    rows, columns = torch.meshgrid(torch.arange(24.0), torch.arange(30.0), indexing="ij")
    for centre in ((3.0, 4.0), (-100.0, 50.0)):
        field = torch.stack([centre[0] - rows, centre[1] - columns])[None]
        object_alone = pair_labels(torch.ones(1, 24, 30, dtype=torch.uint8), radius=10)
        assert losses.displacement(field, *object_alone[:2]) == 0
        empty = pair_labels(torch.zeros(1, 24, 30, dtype=torch.uint8), radius=10)
        assert losses.displacement(0 * field + 7, *empty[:2]) == 0
        assert losses.displacement(field, *empty[:2]) > 1


def test_without_pairs_there_is_no_loss():
    field = torch.randn(1, 2, 12, 12, requires_grad=True)
    unknown = torch.full((1, 12, 12), 255, dtype=torch.uint8)
    loss = losses.displacement(field, *pair_labels(unknown, radius=10)[:2])
    loss.backward()
    assert loss == 0
    assert (field.grad == 0).all()
