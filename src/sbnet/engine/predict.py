"""Class probabilities of whole photos from a segmenter. B photos of one size, C classes, H x W pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sbnet.data.datasets.collection import Photo
from sbnet.engine.inference import Batch, Told, infer_photos, inference_network, to_host
from sbnet.engine.runtime import Runtime
from sbnet.engine.views import unmirror, views

Result = TypeVar("Result")


class SegmenterPredictor:
    """A segmenter on its device; test-time views are averaged as probabilities. `model` is used up.

    scales: input sizes relative to the photo. mirror: the mirror image of each besides.
    """

    def __init__(
        self, model: nn.Module, *, runtime: Runtime, scales: Sequence[float] = (1.0,), mirror: bool = False
    ) -> None:
        self._fabric, self._network = inference_network(model, runtime)
        self._runtime, self._scales, self._mirror = runtime, tuple(scales), mirror

    def infer(
        self,
        photos: Sequence[Photo],
        finish: Callable[[Photo, np.ndarray, np.ndarray], Result],
        *,
        failed: Told | None = None,
    ) -> Iterator[Result]:
        """What `finish(photo, pixels, probabilities)` gives for each photo, on other threads, in the order and with the
        failures of `infer_photos`. pixels (H, W, 3) uint8 RGB; probabilities (C, H, W) float32, their sum 1 over the
        classes.
        """

        def compute(batch: Batch) -> Sequence[Callable[[], Result]]:
            found = to_host(self.from_views(batch.views, batch.size))
            listed, pixels = batch.photos, batch.pixels  # not the batch: its views have served

            def finished(row: int) -> Result:
                return finish(listed[row], pixels[row], found()[row])

            return [partial(finished, row) for row in range(len(listed))]

        return infer_photos(
            photos, compute, runtime=self._runtime, scales=self._scales, mirror=self._mirror, failed=failed
        )

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
