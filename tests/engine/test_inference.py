"""Views of a photo and what comes back from them."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from sbnet.engine.inference import inference_network, unmirror, views
from sbnet.engine.predict import SegmenterPredictor
from sbnet.engine.runtime import Runtime
from sbnet.models import build
from sbnet.models.deeplab import SegmenterOutput


class Echo(nn.Module):
    """The first channel as the second class's logit: what comes back must lie where the photo has it."""

    normalization = staticmethod(lambda photo: photo.float() / 255)

    def forward(self, images):
        logits = torch.cat([images[:, :1] * 0 + 0.5, images[:, :1]], 1) * 8
        return SegmenterOutput(logits, (logits,))


@pytest.fixture
def photo() -> np.ndarray:
    """Bright at the upper left alone."""
    pixels = np.zeros((12, 17, 3), np.uint8)
    pixels[:5, :6] = 255
    return pixels


def test_views_are_the_resized_photo_and_its_mirror_image(photo):
    found = list(views(photo, Echo(), scales=(0.5, 1, 1.5), mirror=True, device=torch.device("cpu")))
    assert [tuple(batch.shape) for batch in found] == [(2, 3, 6, 8), (2, 3, 12, 17), (2, 3, 18, 26)]
    for batch in found:
        torch.testing.assert_close(batch[1], batch[0].flip(-1))
        size = (batch.shape[-1], batch.shape[-2])
        resized = np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BICUBIC))
        np.testing.assert_allclose(batch[0].permute(1, 2, 0), resized / 255, atol=1e-6)
        torch.testing.assert_close(unmirror(batch), 2 * batch[0])
    (alone,) = views(photo, Echo(), scales=(1,), mirror=False, device=torch.device("cpu"))
    torch.testing.assert_close(unmirror(alone), alone[0])


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("scales", [(1.0,), (0.5, 1.0, 2.0)])
def test_probabilities_lie_where_the_photo_has_them(photo, scales, mirror):
    predictor = SegmenterPredictor(
        Echo(), runtime=Runtime(device="cpu", precision="32"), scales=scales, mirror=mirror
    )
    found = predictor.probabilities(photo)
    assert found.shape == (2, 12, 17)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)
    bright = photo[..., 0] > 0
    assert (found.argmax(0) == bright).mean() > 0.97
    if scales == (1.0,):
        np.testing.assert_allclose(found[1], 1 / (1 + np.exp(np.where(bright, -4, 4))), atol=1e-5)


@pytest.mark.parametrize(("precision", "kept"), [("32", torch.float32), ("bf16", torch.bfloat16)])
def test_a_network_made_ready_gives_what_it_gave(precision, kept):
    """The backbone's convolutions in the run's precision, batch norms folded, heads as they were."""
    torch.manual_seed(0)
    model = build("sbnet-lite0", 5).eval()
    images = torch.randn(1, 3, 96, 112)
    with torch.no_grad():
        expected = model(images, boundary=False).cam
        _, network = inference_network(model, Runtime(device="cpu", precision=precision))
        found = network(images, boundary=False).cam
    backbone = [module for module in model.backbone.modules() if isinstance(module, nn.Conv2d)]
    assert {module.weight.dtype for module in backbone} == {kept}
    assert model.fc8.weight.dtype == found.dtype == torch.float32
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.backbone.modules())
    worst = (found - expected).abs().max() / (expected.max() - expected.min())
    assert worst < (1e-4 if precision == "32" else 0.05)
