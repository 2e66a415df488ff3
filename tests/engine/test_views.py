"""Views of photos and what comes back from them."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import nn

from sbnet.engine.views import stacks, unmirror, views

CPU = torch.device("cpu")


class Bytes(nn.Module):
    normalization = staticmethod(lambda photo: photo.float() / 255)


def test_views_are_the_resized_photos_and_their_mirror_images() -> None:
    photos = list(np.random.default_rng(0).integers(0, 256, (3, 12, 17, 3), np.uint8))
    found = list(views(stacks(photos, (0.5, 1, 1.5), device=CPU), Bytes(), mirror=True, device=CPU))
    assert [tuple(batch.shape) for batch in found] == [(6, 3, 6, 8), (6, 3, 12, 17), (6, 3, 18, 26)]
    for batch in found:
        assert batch.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(batch[3:], batch[:3].flip(-1))
        size = (batch.shape[-1], batch.shape[-2])
        for photo, view in zip(photos, batch[:3], strict=True):
            resized = np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BICUBIC))
            np.testing.assert_allclose(view.permute(1, 2, 0), resized / 255, atol=1e-6)
        torch.testing.assert_close(unmirror(batch, 3), 2 * batch[:3])
    (alone,) = views(stacks(photos, (1,), device=CPU), Bytes(), mirror=False, device=CPU)
    torch.testing.assert_close(unmirror(alone, 3), alone)


def test_no_view_is_empty() -> None:
    (stack,) = stacks([np.zeros((1, 40, 3), np.uint8)], (0.1,), device=CPU)
    assert stack.shape == (1, 3, 1, 4)
