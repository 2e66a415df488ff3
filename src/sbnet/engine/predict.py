"""Class probabilities of whole photos from a segmenter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from sbnet.engine.inference import inference_network, unmirror, views
from sbnet.engine.runtime import Runtime


class SegmenterPredictor:
    """A segmenter on its device; test-time views are averaged as probabilities. `model` is used up.

    scales: input sizes relative to the photo. mirror: the mirror image of each besides.
    """

    def __init__(
        self, model: nn.Module, *, runtime: Runtime, scales: Sequence[float] = (1.0,), mirror: bool = False
    ) -> None:
        self._fabric, self._network = inference_network(model, runtime)
        self._scales, self._mirror = tuple(scales), mirror

    @torch.inference_mode()
    def probabilities(self, photo: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 RGB -> (C, H, W) float32, summing to 1 over the classes.

        Logits are enlarged to the photo's size (bilinear) before the softmax, as DeepLab v2 does.
        """
        total: torch.Tensor | float = 0.0
        for images in views(
            photo, self._network, scales=self._scales, mirror=self._mirror, device=self._fabric.device
        ):
            logits = functional.interpolate(
                self._network(images).logits.float(), photo.shape[:2], mode="bilinear", align_corners=False
            )
            total = total + unmirror(logits.softmax(1)) / len(images)
        return (total / len(self._scales)).cpu().numpy()  # type: ignore[union-attr]
