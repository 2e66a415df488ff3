"""Class probabilities of whole photos from a segmenter. B photos of one size, C classes, H x W pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sbnet.engine.inference import inference_network
from sbnet.engine.runtime import Runtime
from sbnet.engine.views import stacks, unmirror, views


class SegmenterPredictor:
    """A segmenter on its device; test-time views are averaged as probabilities. `model` is used up.

    scales: input sizes relative to the photo. mirror: the mirror image of each besides.
    """

    def __init__(
        self, model: nn.Module, *, runtime: Runtime, scales: Sequence[float] = (1.0,), mirror: bool = False
    ) -> None:
        self._fabric, self._network = inference_network(model, runtime)
        self._scales, self._mirror = tuple(scales), mirror

    def probabilities(self, photo: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 RGB -> (C, H, W) float32, summing to 1 over the classes."""
        of_scales = stacks([photo], self._scales, device=self._fabric.device)
        height, width = photo.shape[:2]
        return self.from_views(of_scales, (height, width))[0].cpu().numpy()

    @torch.inference_mode()
    def from_views(self, of_scales: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """(B, 3, h, w) uint8 for each scale, size (H, W) of the photos -> (B, C, H, W) float32 on the device.

        Logits are enlarged to the photos' size (bilinear) before the softmax, as DeepLab v2 does.
        """
        total = torch.zeros((), device=self._fabric.device)
        photos = len(of_scales[0])
        for images in views(of_scales, self._network, mirror=self._mirror, device=self._fabric.device):
            logits = self._network(images).logits.float()
            if logits.shape[2:] != size:  # at scale 1 some segmenters answer pixel by pixel
                logits = functional.interpolate(logits, size, mode="bilinear", align_corners=False)
            total = total + unmirror(logits.softmax(1), photos) / (len(images) // photos)
        return total / len(self._scales)
