"""Class activation maps of the training images, over several scales and mirrored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sbnet.data.datasets.collection import Photo
from sbnet.data.io.files import write_scores
from sbnet.data.shown import shown_images
from sbnet.engine.inference import Batch, Job, LoadedImage, infer
from sbnet.engine.views import OnHost, inference_network, to_device, to_host, unmirror, views
from sbnet.methods.cam.steps import InferSettings
from sbnet.networks.model_file import load_model
from sbnet.ops import normalize_scores
from sbnet.ops.pixel_correlation import resize
from sbnet.steps.context import Context
from sbnet.work.progress import work_through


class Maps(NamedTuple):
    """An image's maps, in those of its batch, on their way from the device. rows: the image's. raw: of the last scale,
    before any refinement, where the report shows the image. extra: see `CamMaps.extra`.
    """

    maps: OnHost
    rows: slice
    raw: OnHost | None
    extra: Any


class CamMaps(Job[Maps, object]):
    """The maps of each image's classes, normalised, as files."""

    def __init__(self, settings: InferSettings, context: Context) -> None:
        self.scales, self.mirror = settings.scales, settings.mirror
        self.model, self.meta = load_model(context.inputs["network"])
        fabric, self.network = inference_network(self.model, context.runtime)
        self.device = fabric.device
        self.refine = settings.refined
        self.folder = context.folder
        self.shown = {image.name for image in shown_images(context.train)}

    def extra(self, image: LoadedImage) -> Any:
        """What else is made of an image, on the network's thread."""
        return None

    def write_extra(self, image: Photo, extra: Any) -> None:
        """Files of what `extra` gave."""

    def forward(self, batch: Batch) -> list[Maps]:
        present = [image.photo.classes for image in batch.images]
        seen = views(batch.views, self.network, mirror=self.mirror, device=self.device)
        outputs = (self.network(images, refine=self.refine, enlarge=False) for images in seen)
        summed, last = summed_maps(outputs, batch.size, present, refined=self.refine, device=self.device)
        made = to_host(normalize_scores(summed))
        shown = [image.photo.name in self.shown for image in batch.images]
        raw = to_host(normalize_scores(last)) if any(shown) else None
        ends = accumulate(map(len, present), initial=0)
        return [
            Maps(made, slice(*rows), raw if is_shown else None, self.extra(image))
            for image, rows, is_shown in zip(batch.images, pairwise(ends), shown, strict=True)
        ]

    def write(self, image: LoadedImage, result: Maps) -> None:
        """The scores last: an image that has them is done."""
        name, classes = f"{image.photo.name}.npz", np.array(image.photo.classes)
        if result.extra is not None:
            self.write_extra(image.photo, result.extra)
        if result.raw is not None:
            write_scores(self.folder / "raw" / name, result.raw()[result.rows], classes)
        write_scores(self.folder / "scores" / name, result.maps()[result.rows], classes)


def summed_maps(
    outputs: Iterable[Any],
    size: tuple[int, int],
    present: Sequence[Sequence[int]],
    *,
    refined: bool,
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """Maps (K, H, W) of images of one size (H, W), summed over all scales and mirrors; and the raw ones of the last
    scale.

    outputs: the network's of each scale, for the images or for them and their mirror images behind them. present: the
    class ids in each image; K of them in all, those of the first image first. refined: its refined maps.
    """
    chosen = [(image, index) for image, classes in enumerate(present) for index in classes]
    image, index = to_device(torch.tensor(chosen), device).unbind(1)
    total = torch.zeros((), device=device)
    for output in outputs:
        found = output.refined_cam if refined else output.cam
        cam = unmirror(found.float(), len(present))[image, index]
        total = total + _enlarge(cam, output.size, size)
    raw = unmirror(output.cam.float(), len(present))[image, index]
    return total, _enlarge(raw, output.size, size)


def _enlarge(cam: Tensor, view: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """(K, h, w) to the view's size, as inside the network, then to the image's.

    Both are linear and alike from left and right, so that the sum of a map and its mirror image's need be enlarged only
    once.
    """
    enlarged = resize(cam[None], view)
    return functional.interpolate(enlarged, size, mode="bilinear", align_corners=False)[0]


def run(settings: InferSettings, context: Context) -> dict[str, Any]:
    """Write the scores of every training image that has none yet, and raw maps of the report's images."""
    return infer_maps(CamMaps(settings, context), context)


def infer_maps(job: CamMaps, context: Context) -> dict[str, Any]:
    done = context.folder / "scores"
    todo = [image for image in context.train if not (done / f"{image.name}.npz").exists()]
    work_through("infer CAMs", infer(todo, job, runtime=context.runtime), len(todo))
    return {"images": len(context.train)}
