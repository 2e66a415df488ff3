"""Class activation maps of the training photos, over several scales and mirrored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sbnet.data.datasets.collection import Photo
from sbnet.data.training.edges import normalized_edges
from sbnet.data.io.files import write_grey, write_scores
from sbnet.data.io.image import photo_size
from sbnet.engine.inference import Batch, OnHost, infer_photos, inference_network, to_device, to_host
from sbnet.work.parallel import map_unordered
from sbnet.work.progress import work_through
from sbnet.engine.views import stacked, unmirror, views
from sbnet.errors import check_choice
from sbnet.compat.cam_files import find_cam, read_any_cam
from sbnet.engine.model_file import load_model
from sbnet.ops.pixel_correlation import resize
from sbnet.ops import canny, normalize_scores
from sbnet.report import shown_photos
from sbnet.steps.workspace import Workspace

MAPS = ("auto", "refined", "raw")

READS = ("network",)  # where `scores` names no folder
WRITES = ("scores",)


@dataclass(frozen=True)
class Settings:
    """scales: photo sizes relative to the original; mirror: each scale's mirror image besides.
    map: `refined` (after the pixel correlation module), `raw`, or `auto`: raw where that module was never trained.
    boundaries: keep the boundaries that an SBNet network predicts at scale 1, as grey PNGs to look at, of every photo
    and not only of those that the report shows. It costs a pass more, with the boundary head.
    scores: a folder of CAMs made elsewhere, NAME.npz of ours or NAME.npy of SEAM, SBNet, PSA or IRN, taken instead.
    """

    scales: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0)
    mirror: bool = True
    map: str = "auto"
    boundaries: bool = False
    scores: str = ""

    def __post_init__(self) -> None:
        check_choice("map", self.map, MAPS)


def run(settings: Settings, workspace: Workspace) -> dict[str, Any]:
    """Write the scores of every training photo that has none yet; raw CAMs of the report's photos besides."""
    if settings.scores:
        return _take_over(Path(settings.scores), workspace)
    model, meta = load_model(workspace.inputs["network"] / "model.safetensors")
    fabric, network = inference_network(model, workspace.runtime)
    refine = settings.map == "refined" or (settings.map == "auto" and meta["method"] != "cam")
    scores, raw, boundaries = (workspace.folder / name for name in ("scores", "raw", "boundaries"))
    shown = {photo.name for photo in shown_photos(workspace.train)}
    drawn = {photo.name for photo in workspace.train.photos} if settings.boundaries else shown
    drawn = drawn if meta["method"] == "sbnet" else set()

    @torch.inference_mode()
    def compute(batch: Batch) -> Sequence[Callable[[], None]]:
        present = [photo.classes for photo in batch.photos]
        summed, last = summed_cams(
            network,
            batch.views,
            batch.size,
            present,
            mirror=settings.mirror,
            refine=refine,
            device=fabric.device,
        )
        made = to_host(normalize_scores(summed))
        unrefined = None
        if any(photo.name in shown for photo in batch.photos):
            unrefined = to_host(normalize_scores(last))
        writers = []
        ends = accumulate(map(len, present), initial=0)
        for photo, pixels, rows in zip(batch.photos, batch.pixels, pairwise(ends), strict=True):
            edges = None
            if photo.name in drawn:
                edges = _boundaries(network, pixels, photo, fabric.device, meta.get("canny", "photo"))
            also = unrefined if photo.name in shown else None
            writers.append(partial(write, photo, slice(*rows), made, also, edges))
        return writers

    def write(
        photo: Photo, rows: slice, cams: OnHost, unrefined: OnHost | None, edges: OnHost | None
    ) -> None:
        """The scores last: a photo that has them is done."""
        classes = np.array(photo.classes)
        if edges is not None:
            write_grey(boundaries / f"{photo.name}.png", edges())
        if unrefined is not None:
            write_scores(raw / f"{photo.name}.npz", unrefined()[rows], classes)
        write_scores(scores / f"{photo.name}.npz", cams()[rows], classes)

    todo = [photo for photo in workspace.train.photos if not (scores / f"{photo.name}.npz").exists()]
    written = infer_photos(
        todo, compute, runtime=workspace.runtime, scales=settings.scales, mirror=settings.mirror
    )
    work_through("infer CAMs", written, len(todo))
    return {"photos": len(workspace.train.photos)}


def summed_cams(
    network: nn.Module,
    stacks: Sequence[Tensor],
    size: tuple[int, int],
    present: Sequence[Sequence[int]],
    *,
    mirror: bool,
    refine: bool,
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """CAMs (K, H, W) of photos of one size (H, W), summed over all scales and mirrors, each scale with its mirror
    images in one pass; and the raw ones of the last scale.

    stacks: the photos (B, 3, h, w) uint8 at each scale. present: the class ids in each; K of them in all, those of the
    first photo first.
    """
    chosen = [(photo, index) for photo, classes in enumerate(present) for index in classes]
    photo, index = to_device(torch.tensor(chosen), device).unbind(1)
    total = torch.zeros((), device=device)
    for images in views(stacks, network, mirror=mirror, device=device):
        output = network(images, boundary=False, refine=refine, enlarge=False)
        cam = unmirror(output.refined_cam.float(), len(present))[photo, index]
        total = total + _enlarge(cam, output.size, size)
    raw = unmirror(output.cam.float(), len(present))[photo, index]
    return total, _enlarge(raw, output.size, size)


def _enlarge(cam: Tensor, view: tuple[int, int], photo: tuple[int, int]) -> Tensor:
    """(K, h, w) to the view's size, as inside the network, then to the photo's.

    Both are linear and alike from left and right, so that the sum of a CAM and its mirror image's need be enlarged but
    once.
    """
    enlarged = resize(cam[None], view)
    return functional.interpolate(enlarged, photo, mode="bilinear", align_corners=False)[0]


def _take_over(folder: Path, workspace: Workspace) -> dict[str, Any]:
    """Scores from `folder`, checked against photos and image labels; SBNetError at once where a file is missing."""
    files = {photo.name: find_cam(folder, photo.name) for photo in workspace.train}
    target = workspace.folder / "scores"

    def take(photo: Photo) -> None:
        found = read_any_cam(files[photo.name], size=photo_size(photo.path), classes=photo.classes)
        write_scores(target / f"{photo.name}.npz", found.scores, found.classes)

    todo = [photo for photo in workspace.train.photos if not (target / f"{photo.name}.npz").exists()]
    done = map_unordered(take, todo, workers=workspace.runtime.worker_count)
    work_through("take over CAMs", done, len(todo))
    return {"photos": len(workspace.train.photos)}


def _boundaries(
    network: nn.Module, pixels: np.ndarray, photo: Photo, device: torch.device, canny_of: str
) -> OnHost:
    """(H, W) uint8: the strongest boundary of the classes in the photo, probability times 255.

    canny_of: the edges that the network was trained with, of the `photo` or of the `normalized` image.
    """
    (image,) = views([stacked([pixels], device=device)], network, mirror=False, device=device)
    edges = torch.from_numpy(canny(pixels))[None] if canny_of == "photo" else normalized_edges(image.cpu())
    fused = network(image, edges[None].to(device), refine=False).boundary_fused
    logits = fused[0, to_device(torch.tensor(photo.classes), device)]
    return to_host((logits.float().sigmoid().amax(0) * 255).round().byte())
