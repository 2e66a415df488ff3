"""Class probabilities of whole images from a segmenter. B images of one size, C classes, H x W pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sbnet.data.datasets.collection import Photo
from sbnet.engine.inference import Batch, Job, LoadedImage, Told, infer
from sbnet.engine.runtime import Runtime
from sbnet.engine.views import OnHost, inference_network, to_host, unmirror, views

Result = TypeVar("Result")
Finish = Callable[[LoadedImage, np.ndarray], Result]


class SegmenterPredictor:
    """A segmenter on its device; test-time views are averaged as probabilities. `model` is used up; its output has
    `logits` (B, C, h, w).

    scales: input sizes relative to the image. mirror: also the mirror image of each.
    """

    def __init__(
        self, model: nn.Module, *, runtime: Runtime, scales: Sequence[float] = (1.0,), mirror: bool = False
    ) -> None:
        self._fabric, self._network = inference_network(model, runtime)
        self._runtime, self.scales, self.mirror = runtime, tuple(scales), mirror

    def infer(
        self, images: Sequence[Photo], finish: Finish[Result], *, failed: Told | None = None
    ) -> Iterator[Result]:
        """What `finish(image, probabilities)` returns for each image, on other threads; order and failures as of the
        function `infer`. probabilities: (C, H, W) float32, their sum over the classes 1.
        """
        return infer(images, _Predict(self, finish), runtime=self._runtime, failed=failed)

    @torch.inference_mode()
    def from_views(self, of_scales: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """(B, 3, h, w) uint8 for each scale, size (H, W) of the images -> (B, C, H, W) float32 on the device.

        Logits are enlarged to the images' size (bilinear) before the softmax, as DeepLab v2 does.
        """
        total = torch.zeros((), device=self._fabric.device)
        count = len(of_scales[0])
        for images in views(of_scales, self._network, mirror=self.mirror, device=self._fabric.device):
            logits = self._network(images).logits.float()
            if logits.shape[2:] != size:  # at scale 1 some segmenters answer pixel by pixel
                logits = functional.interpolate(logits, size, mode="bilinear", align_corners=False)
            total = total + unmirror(logits.softmax(1), count) / (len(images) // count)
        return total / len(self.scales)


class _Predict(Job[tuple[OnHost, int], Result]):
    def __init__(self, predictor: SegmenterPredictor, finish: Finish[Result]) -> None:
        self._predictor, self._finish = predictor, finish
        self.scales, self.mirror = predictor.scales, predictor.mirror

    def forward(self, batch: Batch) -> list[tuple[OnHost, int]]:
        found = to_host(self._predictor.from_views(batch.views, batch.size))
        return [(found, row) for row in range(len(batch.images))]

    def write(self, image: LoadedImage, result: tuple[OnHost, int]) -> Result:
        found, row = result
        return self._finish(image, found()[row])
