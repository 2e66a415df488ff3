"""CAM normalisation: ranges and the plain formulas."""

import pytest
import torch

from sbnet.ops import normalize_scores, with_background_score
from sbnet.ops.cam import max_only, normalize_max, normalize_min_max, with_background

CAM = torch.randn(2, 4, 5, 6, generator=torch.Generator().manual_seed(0))


def test_min_max_formula():
    found = normalize_min_max(CAM)
    for b in range(2):
        for c in range(4):
            positive = CAM[b, c].clamp(min=0) + 0.0
            low, high = positive.min(), positive.max()
            torch.testing.assert_close(found[b, c], (positive - low - 1e-5).relu() / (high - low + 1e-5))
    assert found.min() >= 0
    assert 0.99 < found.max() < 1


def test_min_max_gradient_flows_through_the_extremes():
    cam = (CAM[:1, :1].double().abs() + 1).requires_grad_()
    normalize_min_max(cam)[0, 0, 2, 2].backward()
    flat = cam.detach().flatten()
    assert cam.grad.flatten()[flat.argmin()] != 0
    assert cam.grad.flatten()[flat.argmax()] != 0


def test_propagated_cam_of_the_pixel_correlation():
    found = max_only(with_background(normalize_max(CAM)))
    plain = normalize_max(CAM)
    top = plain[:, 1:].amax(1)
    torch.testing.assert_close(found[:, 0], 1 - top)
    torch.testing.assert_close(found[:, 1:].sum(1), top)


def test_scores_stay_in_range_also_for_a_silent_class():
    scores = torch.stack([CAM[0, 0], torch.full((5, 6), -1.0), torch.full((5, 6), 3.0)])
    found = normalize_scores(scores)
    assert found.min() == 0
    assert found.max() < 1
    assert not found[1:].any()


@pytest.mark.parametrize("alpha", [1, 4, 24])
def test_background_of_sharpened_scores(alpha):
    scores = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(0))
    both = with_background_score(scores, alpha=alpha, power=3)
    torch.testing.assert_close(both[1:], scores**3)
    torch.testing.assert_close(both[0], (1 - (scores**3).amax(0)) ** alpha)
    torch.testing.assert_close(with_background_score(scores, alpha=alpha)[1:], scores)
    assert torch.equal(with_background_score(scores[:0], alpha=alpha), torch.ones(1, 4, 5))


def test_nan_spoils_its_own_map_alone():
    scores = torch.rand(2, 4, 5)
    scores[1, 2, 3] = torch.nan
    found = normalize_scores(scores)
    assert found[0].isfinite().all()
    assert found[1].isnan().all()
