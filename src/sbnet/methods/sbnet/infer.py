"""SBNet's maps, and the boundaries that its network predicts, to look at."""

from __future__ import annotations

from typing import Any

import torch

from sbnet.data.datasets.collection import Photo
from sbnet.data.io.files import write_grey
from sbnet.engine.inference import LoadedImage
from sbnet.engine.views import OnHost, stacked, to_device, to_host, views
from sbnet.methods.cam.infer import CamMaps, infer_maps
from sbnet.methods.sbnet.edges import normalized_edges
from sbnet.methods.sbnet.settings import SBNetInferSettings
from sbnet.ops import canny
from sbnet.steps.context import Context


class BoundaryMaps(CamMaps):
    def __init__(self, settings: SBNetInferSettings, context: Context) -> None:
        super().__init__(settings, context)
        self.drawn = {image.name for image in context.train} if settings.boundaries else self.shown

    def extra(self, image: LoadedImage) -> OnHost | None:
        """(H, W) uint8: the strongest boundary of the classes in the image, probability times 255, with the edges that
        the network was trained with. None where it is not drawn.
        """
        if image.photo.name not in self.drawn:
            return None
        stack = stacked([image.pixels], device=self.device)
        (view,) = views([stack], self.network, mirror=False, device=self.device)
        normalized = self.meta.get("canny") == "normalized"
        edges = normalized_edges(view.cpu()) if normalized else torch.from_numpy(canny(image.pixels))[None]
        fused = self.network(view, edges[None].to(self.device), refine=False).boundary_fused
        logits = fused[0, to_device(torch.tensor(image.photo.classes), self.device)]
        return to_host((logits.float().sigmoid().amax(0) * 255).round().byte())

    def write_extra(self, image: Photo, extra: OnHost) -> None:
        write_grey(self.folder / "boundaries" / f"{image.name}.png", extra())


def run(settings: SBNetInferSettings, context: Context) -> dict[str, Any]:
    """Write scores as `cam.infer.run` does, and boundaries of the report's images, or of all."""
    return infer_maps(BoundaryMaps(settings, context), context)
