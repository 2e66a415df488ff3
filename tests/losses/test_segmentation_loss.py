"""Cross entropy over several scales."""

import pytest
import torch
import torch.nn.functional as F

from sbnet.losses import multi_scale_cross_entropy


def test_sum_over_scales_with_unknown_pixels():
    label = torch.randint(0, 3, (2, 8, 8), dtype=torch.uint8)
    label[:, :2] = 255
    logits = [torch.randn(2, 3, 8, 8), torch.randn(2, 3, 4, 4)]
    small = F.interpolate(label[:, None].float(), size=(4, 4), mode="nearest-exact")[:, 0]
    expected = sum(
        F.cross_entropy(scores, target.long(), ignore_index=255)
        for scores, target in zip(logits, (label, small), strict=True)
    )
    torch.testing.assert_close(multi_scale_cross_entropy(logits, label), expected)


def test_only_unknown_pixels_cost_nothing():
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss = multi_scale_cross_entropy([logits], torch.full((1, 8, 8), 255, dtype=torch.uint8))
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_raised(dtype):
    loss = multi_scale_cross_entropy(
        [torch.randn(1, 3, 4, 4).to(dtype)], torch.zeros(1, 4, 4, dtype=torch.uint8)
    )
    assert loss.dtype == torch.float32
