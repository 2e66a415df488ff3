"""The walk of a photo's scores: padding, pooling to the network's grid, and back."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from sbnet.models.affinity_network import AffinityOutput
from sbnet.ops import pair_affinity
from sbnet.ops.random_walk import random_walk_reference
from sbnet.stages.random_walk import Settings, walk


class Grid(nn.Module):
    """Affinities of the image itself, pooled to the grid."""

    normalization = staticmethod(lambda photo: photo.float() / 255)

    def forward(self, images):
        features = functional.avg_pool2d(images, 8) * 4
        return AffinityOutput(pair_affinity(features), features)


@pytest.mark.parametrize("scale", [1.0, 1.5])
@pytest.mark.parametrize("size", [(97, 110), (96, 112)])
def test_walk_is_the_formula_step_by_step(size, scale):
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (*size, 3), np.uint8)
    scores = torch.from_numpy(random.random((3, *size), np.float32))
    settings = Settings(sharpness=4, steps=6, scale=scale)
    found = walk(Grid(), pixels, scores, stride=8, settings=settings)
    assert found.shape == scores.shape

    height, width = (round(side * scale) for side in size)
    resized = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))
    rows, columns = -(-height // 8), -(-width // 8)
    image = torch.zeros(3, rows * 8, columns * 8)
    image[:, :height, :width] = torch.from_numpy(resized.copy()).permute(2, 0, 1) / 255
    enlarged = functional.interpolate(scores[None], (height, width), mode="bilinear")[0]
    padded = torch.zeros(3, rows * 8, columns * 8)
    padded[:, :height, :width] = enlarged
    coarse = padded.reshape(3, rows, 8, columns, 8).mean((2, 4))
    affinity = Grid()(image[None]).affinity[0]
    walked = random_walk_reference(coarse.double(), affinity.double(), sharpness=4, steps=6).float()
    back = functional.interpolate(walked[None], (rows * 8, columns * 8), mode="bilinear")[0]
    expected = functional.interpolate(back[None, :, :height, :width], size, mode="bilinear")[0]
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)
