"""The one inference loop: photos are read by threads ahead of the network, results written by threads behind it.

And what a network needs to be fast in it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from lightning_fabric import Fabric
from PIL import Image
from torch import Tensor, nn

from sbnet.data.collection import Photo
from sbnet.data.image import read_photo
from sbnet.engine.progress import photo_progress
from sbnet.engine.runtime import Runtime
from sbnet.models import Backbone
from sbnet.models.fold import fold_batch_norm

AHEAD = 4  # photos read before their turn; bounds memory


def inference_network(model: nn.Module, runtime: Runtime) -> tuple[Fabric, nn.Module]:
    """`model` on the device, for inference alone; it is changed, and can be neither trained nor saved any more.

    Its backbones' batch norms are folded, their convolutions kept in bfloat16 where that is the precision, which
    autocast would otherwise make of them anew in every pass; channels last.
    """
    fabric = runtime.fabric(model)
    for backbone in [module for module in model.eval().modules() if isinstance(module, Backbone)]:
        fold_batch_norm(backbone)
        if runtime.precision_for(model) == "bf16":
            _keep_half(backbone)
    return fabric, fabric.setup_module(model.to(memory_format=torch.channels_last))


def _keep_half(backbone: nn.Module) -> None:
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            module.to(torch.bfloat16)


def infer_photos(
    title: str,
    photos: Sequence[Photo],
    compute: Callable[[Photo, np.ndarray], Callable[[], None]],
    *,
    workers: int,
) -> None:
    """For each photo: read it, `compute(photo, pixels)` on this thread, then the writer it returned on another.

    pixels: (H, W, 3) uint8 RGB. Errors of reading and writing are raised here; photos finished before stay.
    """
    with ThreadPoolExecutor(max(1, workers)) as pool:
        writes: deque[Future[None]] = deque()
        for photo, pixels in photo_progress(title, _read_ahead(photos, pool), len(photos)):
            writes.append(pool.submit(compute(photo, pixels)))
            while len(writes) > AHEAD:
                writes.popleft().result()
        for write in writes:
            write.result()


def _read_ahead(photos: Sequence[Photo], pool: ThreadPoolExecutor) -> Iterator[tuple[Photo, np.ndarray]]:
    waiting: deque[tuple[Photo, Future[np.ndarray]]] = deque()
    for photo in photos:
        waiting.append((photo, pool.submit(read_photo, photo.path)))
        if len(waiting) > AHEAD:
            first, pixels = waiting.popleft()
            yield first, pixels.result()
    for first, pixels in waiting:
        yield first, pixels.result()


def views(
    pixels: np.ndarray, network: nn.Module, *, scales: Sequence[float], mirror: bool, device: torch.device
) -> Iterator[Tensor]:
    """Normalised views of a photo, one scale at a time: (1 or 2, 3, h, w), the second one mirrored.

    Sizes are (round(w s), round(h s)), at least 1, resized by Pillow's bicubic, as the reference does.
    """
    height, width = pixels.shape[:2]
    for scale in scales:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        resized = (
            pixels
            if scale == 1
            else np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
        )
        image = torch.from_numpy(np.array(resized)).permute(2, 0, 1)[None].to(device)
        if mirror:
            image = torch.cat([image, image.flip(-1)])
        yield network.normalization(image).contiguous(memory_format=torch.channels_last)  # type: ignore[operator]


def unmirror(batch: Tensor) -> Tensor:
    """(1 or 2, ...) of a view and its mirror image -> their sum in the photo's own orientation."""
    return batch[0] if len(batch) == 1 else batch[0] + batch[1].flip(-1)
