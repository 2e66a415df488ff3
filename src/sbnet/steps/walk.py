"""The walk of an image's class score maps along what a trained network says of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sbnet import ops
from sbnet.data.datasets.collection import Photo
from sbnet.data.io.files import Scores, read_scores
from sbnet.engine.crf import PhotoCRF
from sbnet.engine.views import inference_network, to_device
from sbnet.networks.model_file import load_model
from sbnet.steps.context import Context


class Walk(ABC):
    """A trained network, what it says of an image, and the walk along that. Shapes: K score maps, H x W pixels.

    ignored: settings that may differ between maps that walk side by side, at the value at which they are compared.
    mirror: the network sees mirror images too.
    """

    ignored: ClassVar[Mapping[str, Any]]
    mirror: ClassVar[bool] = False

    def __init__(self, context: Context) -> None:
        self.model, _ = load_model(context.inputs["network"])
        fabric, self.network = inference_network(self.model, context.runtime)
        self.device = fabric.device
        self._scores, self._crf = context.inputs["scores"], PhotoCRF(context.runtime)

    @abstractmethod
    def relations(self, stack: Tensor) -> Tensor:
        """Images (B, 3, H, W) uint8 -> (B, ...): affinities, or boundaries."""

    @abstractmethod
    def sources(self, foreground: Tensor, settings: Any) -> Tensor:
        """Scores (K, H, W) -> the maps that walk."""

    @abstractmethod
    def step(self, maps: Tensor, relations: Tensor, settings: Any) -> Tensor:
        """Maps on the network's grid, after the walk along an image's relations."""

    def result(self, walked: Tensor, settings: Any) -> Tensor:
        """Walked maps -> (K + 1, H, W), background first."""
        return walked

    def boundary(self, relations: Tensor) -> Tensor | None:
        """(h, w) in [0, 1]: a picture of an image's relations for the report."""
        return None

    def stored(self, image: Photo) -> Scores:
        """The image's class score maps."""
        return read_scores(self._scores / f"{image.name}.npz")

    def walk(self, relations: Tensor, stored: Scores, settings: Sequence[Any]) -> list[Tensor]:
        """Scores -> (K + 1, H, W), background first, for each of settings that differ in `ignored` alone."""
        foreground = to_device(torch.from_numpy(stored.scores), self.device)
        sets = [self.sources(foreground, one) for one in settings]
        together = torch.cat(sets)
        if len(together):
            together = self._on_grid(together, relations, settings[0])
        walked = together.unflatten(0, (len(sets), len(sets[0])))
        return [self.result(maps, one) for maps, one in zip(walked, settings, strict=True)]

    def _on_grid(self, maps: Tensor, relations: Tensor, settings: Any) -> Tensor:
        """Maps (K, H, W) after the walk on the network's grid, of which a cell has the mean of its pixels. They are
        enlarged to the scale at which the network saw the image, and padded as that was.
        """
        size, stride = maps.shape[1:], self.model.output_stride
        height, width = (max(1, round(side * settings.scale)) for side in size)
        at_scale = padded(interpolated(maps, (height, width)), stride)
        walked = self.step(functional.avg_pool2d(at_scale[None], stride)[0], relations, settings)
        return interpolated(interpolated(walked, at_scale.shape[1:])[:, :height, :width], size)

    def cut(
        self, image: Photo, walked: np.ndarray, pixels: np.ndarray, classes: np.ndarray, settings: Any
    ) -> np.ndarray:
        """The mask of whole-dataset ids, after the CRF where it is asked for."""
        if settings.crf:
            with self._crf.room(image.path, pixels.shape[:2], labels=len(walked)) as marginals:
                walked = marginals(pixels, np.ascontiguousarray(walked, dtype=np.float32))
        return ops.strongest_labels(walked, classes)


def interpolated(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """(K, H, W) to another size, bilinear, as the reference does outside its networks."""
    return functional.interpolate(maps[None], size, mode="bilinear", align_corners=False)[0]


def padded(maps: Tensor, stride: int) -> Tensor:
    """(..., H, W) with zeros at right and bottom up to a multiple of the stride."""
    height, width = maps.shape[-2:]
    return functional.pad(maps, (0, -width % stride, 0, -height % stride))
