"""The one inference loop: photos are read by threads ahead of the network, results written by threads behind it.

Photos of one size pass the network together. And what a network needs to be fast in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from sbnet.data.datasets.collection import Photo
from sbnet.data.io.image import MAX_PIXELS, pixel_limit
from sbnet.engine.gpu_memory import gpu_memory_told
from sbnet.work.parallel import in_order
from sbnet.engine.runtime import Runtime
from sbnet.engine.views import resized, stacked
from sbnet.errors import SBNetError
from sbnet.backbones.network import Backbone
from sbnet.backbones.fold import fold_batch_norm

AHEAD = 4  # photos read before their turn, or one batch, where that is more; results not yet written, or one a worker

OnHost = Callable[[], np.ndarray]  # see `to_host`
Told = Callable[[Photo, SBNetError], None]
Result = TypeVar("Result")


class Failure(NamedTuple):
    """A photo that could not be read, or finished."""

    photo: Photo
    error: SBNetError


@dataclass(frozen=True)
class Batch:
    """B photos of one size. pixels: (H, W, 3) uint8 RGB each. views: (B, 3, h, w) uint8 for each scale.
    beside: what else was read of each photo.
    """

    photos: tuple[Photo, ...]
    pixels: tuple[np.ndarray, ...]
    views: tuple[Tensor, ...]
    beside: tuple[Any, ...]

    @property
    def size(self) -> tuple[int, int]:
        height, width = self.pixels[0].shape[:2]
        return height, width


def inference_network(model: nn.Module, runtime: Runtime) -> tuple[Fabric, nn.Module]:
    """`model` on the device, for inference alone; it is changed, and can be neither trained nor saved any more.

    Its backbones' batch norms are folded, their convolutions kept in bfloat16 where that is the precision, which
    autocast would otherwise make of them anew in every pass; channels last. Raises SBNetError where the GPU's memory
    does not suffice.
    """
    fabric = runtime.fabric(model)
    for backbone in [module for module in model.eval().modules() if isinstance(module, Backbone)]:
        fold_batch_norm(backbone)
        if runtime.precision_for(model) == "bf16":
            _keep_half(backbone)
    with gpu_memory_told("the network", "take a smaller one, or runtime.device=cpu"):
        return fabric, fabric.setup_module(model.to(memory_format=torch.channels_last))


def _keep_half(backbone: nn.Module) -> None:
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d):
            module.to(torch.bfloat16)


def infer_photos(
    photos: Sequence[Photo],
    compute: Callable[[Batch], Sequence[Callable[[], Result]]],
    *,
    runtime: Runtime,
    scales: Sequence[float],
    mirror: bool = False,
    beside: Callable[[Photo], Any] | None = None,
    failed: Told | None = None,
) -> Iterator[Result]:
    """For each batch of photos: read and resize them, `compute(batch)` on this thread, then the finishers that it
    returned, one a photo, on others. Gives the finishers' results: in the order of the photos where a batch is one
    photo, else those of one size together.

    scales: at which the network sees them. mirror: it sees their mirror images as well; counts for the batch's bound.
    beside: reads what else is needed of a photo, on the threads that read ahead.
    failed: is told, on this thread, of each photo that cannot be read, and the others go on; without it that error is
    raised here. Those of `compute` and of the finishers always are, and SBNetError where the GPU's memory does not
    suffice. Photos finished before stay.
    """
    most, device, bound = runtime.photos_at_once, runtime.torch_device(), pixel_limit(scales, mirror=mirror)

    def read(photo: Photo) -> tuple[Photo, np.ndarray, list[np.ndarray], Any]:
        pixels = photo.pixels(max_pixels=bound)
        return photo, pixels, resized(pixels, scales), beside(photo) if beside else None

    def finishers() -> Iterator[tuple[Callable[[], Result], int]]:
        groups = _of_one_size(photos, pool, most=most, pixels=bound)
        reads = ((partial(tried, photo, partial(read, photo)), 0) for group in groups for photo in group)
        ahead = in_order(pool, reads, most=most + max(AHEAD, most), weight=0)
        for group in groups:
            found = list(without_failures(islice(ahead, len(group)), failed))
            if not found:
                continue
            listed, pixels, at_scales, others = zip(*found, strict=True)
            with gpu_memory_told(listed[0].path, _less(len(listed))):
                views = tuple(stacked(one, device=device) for one in zip(*at_scales, strict=True))
                batch = Batch(listed, pixels, views, others)
                finishing = compute(batch)
            yield from ((finish, batch.size[0] * batch.size[1]) for finish in finishing)

    with ThreadPoolExecutor(max(1, runtime.worker_count)) as pool:
        behind = max(AHEAD, most, runtime.worker_count)
        yield from in_order(pool, finishers(), most=behind, weight=MAX_PIXELS)


def tried(photo: Photo, work: Callable[[], Result]) -> Result | Failure:
    """What `work()` gives for the photo, or why it cannot."""
    try:
        return work()
    except SBNetError as error:
        return Failure(photo, error)


def without_failures(results: Iterable[Result | Failure], failed: Told | None) -> Iterator[Result]:
    """The results; of failures `failed` is told, or they are raised where there is none."""
    for result in results:
        if not isinstance(result, Failure):
            yield result
        elif failed is None:
            raise result.error
        else:
            failed(result.photo, result.error)


def _less(photos: int) -> str:
    """What takes less of a GPU's memory, where so many photos passed the network together."""
    first = f"lower runtime.inference_batch below {photos}" if photos > 1 else "save the photo smaller"
    return f"{first}, lower the scales at which the network sees it, use the CPU (device=cpu)"


def _of_one_size(
    photos: Sequence[Photo], pool: ThreadPoolExecutor, *, most: int, pixels: int
) -> list[list[Photo]]:
    """Photos of the same size together, `most` of them or as many as have no more than `pixels`; one at least. Alone is
    one whose size cannot be read: what ails it is told when it is.
    """
    if most == 1:
        return [[photo] for photo in photos]
    alike: dict[tuple[int, int] | Failure, list[Photo]] = {}
    sizes = pool.map(lambda photo: tried(photo, photo.size), photos)
    for photo, size in zip(photos, sizes, strict=True):
        alike.setdefault(size, []).append(photo)
    groups = []
    for size, members in alike.items():
        count = 1 if isinstance(size, Failure) else max(1, min(most, pixels // (size[0] * size[1])))
        groups += [members[start : start + count] for start in range(0, len(members), count)]
    return groups


def to_host(values: Tensor) -> OnHost:
    """Begins to copy a result to the CPU. Calling what this gives waits for the copy, on any thread, and not for what
    the GPU was told to do after it; this thread goes on to the next photos.
    """
    if values.is_cpu:
        return values.numpy
    copied = values.to("cpu", non_blocking=True)  # into pinned memory
    made = torch.cuda.Event(blocking=True)  # who waits sleeps, and leaves the core to other threads
    made.record(torch.cuda.current_stream(values.device))

    def wait() -> np.ndarray:
        made.synchronize()
        return copied.numpy()

    return wait


def to_device(values: Tensor, device: torch.device) -> Tensor:
    """A small tensor of the CPU on the device, without waiting for what that has to do first."""
    return values.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else values
