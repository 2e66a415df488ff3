"""Its maps of the training images, on the one inference loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional

from sbnet.data.io.files import write_scores
from sbnet.engine.inference import Batch, Job, LoadedImage, infer
from sbnet.engine.views import OnHost, inference_network, to_host, views
from sbnet.networks.model_file import load_model
from sbnet.ops import normalize_scores
from sbnet.steps.context import Context
from sbnet.work.progress import work_through
from sbnet_toy.cam import InferToy


class ToyMaps(Job[OnHost, None]):
    def __init__(self, settings: InferToy, context: Context) -> None:
        model, _ = load_model(context.inputs["network"])
        fabric, self._network = inference_network(model, context.runtime)
        self._device, self._power, self._folder = fabric.device, settings.power, context.folder / "scores"

    def forward(self, batch: Batch) -> list[OnHost]:
        (images,) = views(batch.views, self._network, mirror=False, device=self._device)
        maps = functional.interpolate(self._network(images).float(), batch.size, mode="bilinear")
        present = [torch.tensor(image.photo.classes) for image in batch.images]
        return [to_host(normalize_scores(one[index])) for one, index in zip(maps, present, strict=True)]

    def write(self, image: LoadedImage, result: OnHost) -> None:
        path = self._folder / f"{image.photo.name}.npz"
        write_scores(path, result() ** self._power, np.array(image.photo.classes))


def run(settings: InferToy, context: Context) -> dict[str, Any]:
    done = context.folder / "scores"
    todo = [image for image in context.train if not (done / f"{image.name}.npz").exists()]
    work_through("toy maps", infer(todo, ToyMaps(settings, context), runtime=context.runtime), len(todo))
    return {"images": len(context.train)}
