"""Propagation of class score maps along learned affinities: the pseudo masks. The loop that such methods share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from sbnet import ops
from sbnet.data.datasets.collection import Photo
from sbnet.data.io.files import Scores, read_scores, write_grey, write_label
from sbnet.engine.crf import PhotoCRF
from sbnet.engine.inference import Batch, Job, LoadedImage, infer
from sbnet.engine.views import OnHost, inference_network, stacks, to_device, to_host
from sbnet.networks.model_file import load_model
from sbnet.report.shown import shown_images
from sbnet.steps.affinity import PropagateSettings
from sbnet.steps.context import Context
from sbnet.steps.grid import interpolated, walk_on_grid
from sbnet.steps.variants import alike
from sbnet.work.progress import work_through


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
        shared = settings[0]

        def on_grid(coarse: Tensor) -> Tensor:
            return self.step(coarse, relations, shared)

        stride = self.model.output_stride
        together = walk_on_grid(on_grid, torch.cat(sets), stride=stride, scale=shared.scale)
        walked = together.unflatten(0, (len(settings), -1)) if len(together) else torch.stack(sets)
        return [self.result(maps, one) for maps, one in zip(walked, settings, strict=True)]

    def cut(
        self, image: Photo, walked: np.ndarray, pixels: np.ndarray, classes: np.ndarray, settings: Any
    ) -> np.ndarray:
        """The mask of whole-dataset ids, after the CRF where it is asked for."""
        if settings.crf:
            with self._crf.room(image.path, pixels.shape[:2], labels=len(walked)) as marginals:
                walked = marginals(pixels, np.ascontiguousarray(walked, dtype=np.float32))
        return ops.strongest_labels(walked, classes)


class Walked(NamedTuple):
    """maps: (K + 1, H, W). boundary: (H, W), where the report shows the image."""

    maps: OnHost
    boundary: OnHost | None


class Propagation(Job[Walked, object]):
    """The pseudo mask of each image, as files."""

    def __init__(self, walk: Walk, settings: PropagateSettings, context: Context) -> None:
        self.scales, self.mirror = (settings.scale,), walk.mirror
        self._walk, self._settings, self._folder = walk, settings, context.folder
        self._shown = {image.name for image in shown_images(context.train)}

    def load(self, photo: Photo) -> LoadedImage:
        loaded = super().load(photo)
        return LoadedImage(loaded.photo, loaded.pixels, loaded.views, self._walk.stored(photo))

    def forward(self, batch: Batch) -> list[Walked]:
        found = []
        for image, relations in zip(batch.images, self._walk.relations(batch.views[0]), strict=True):
            (walked,) = self._walk.walk(relations, image.extra, [self._settings])
            drawn = self._walk.boundary(relations) if image.photo.name in self._shown else None
            boundary = None if drawn is None else to_host(interpolated(drawn[None], image.size)[0])
            found.append(Walked(to_host(walked), boundary))
        return found

    def write(self, image: LoadedImage, result: Walked) -> None:
        """The mask last: an image that has it is done."""
        name = f"{image.photo.name}.png"
        if result.boundary is not None:
            grey = np.rint(result.boundary() * 255).astype(np.uint8)
            write_grey(self._folder / "boundaries" / name, grey)
        classes = image.extra.classes
        mask = self._walk.cut(image.photo, result.maps(), image.pixels, classes, self._settings)
        write_label(self._folder / "masks" / name, mask)


def propagate(walk: type[Walk], settings: PropagateSettings, context: Context) -> dict[str, Any]:
    """Write the pseudo mask of every training image that has none yet."""
    masks = context.folder / "masks"
    todo = [image for image in context.train if not (masks / f"{image.name}.png").exists()]
    job = Propagation(walk(context), settings, context)
    work_through("propagation", infer(todo, job, runtime=context.runtime), len(todo))
    return {"images": len(context.train)}


def walk_variants(
    kind: type[Walk], settings: Sequence[Any], context: Context
) -> Callable[[Photo], list[np.ndarray]]:
    """For a sweep: image -> its mask (H, W) under each of the settings. The network sees it once at each scale, and the
    maps against all backgrounds walk side by side.
    """
    walk, groups = kind(context), alike(settings, crf=False, **kind.ignored)

    @torch.inference_mode()
    def masks(image: Photo) -> list[np.ndarray]:
        pixels, stored = image.pixels(), walk.stored(image)
        scales = sorted({one.scale for one in settings})
        looks = map(walk.relations, stacks([pixels], scales, device=walk.device))
        relations = {scale: look[0] for scale, look in zip(scales, looks, strict=True)}
        found: dict[int, np.ndarray] = {}
        for shared, members in groups.items():
            group = [settings[index] for index in members]
            walked = walk.walk(relations[shared.scale], stored, group)
            for index, one, maps in zip(members, group, walked, strict=True):
                found[index] = walk.cut(image, maps.cpu().numpy(), pixels, stored.classes, one)
        return [found[index] for index in range(len(settings))]

    return masks
