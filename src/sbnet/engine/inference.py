"""The one inference loop: images are read by threads ahead of the network, results written by threads behind it.

Images of the same size pass the network together.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from sbnet.data.datasets.collection import Photo
from sbnet.data.io.image import MAX_PIXELS, pixel_limit
from sbnet.engine.resources import gpu_memory_told
from sbnet.engine.runtime import Runtime
from sbnet.engine.views import resized, stacked
from sbnet.errors import SBNetError
from sbnet.work.parallel import in_order

AHEAD = 4  # images read before their turn, or one batch, where that is more; results not yet written, or one a worker

Found = TypeVar("Found")
Result = TypeVar("Result")
Told = Callable[[Photo, SBNetError], None]


class Failure(NamedTuple):
    """An image that could not be read or processed."""

    photo: Photo
    error: SBNetError


@dataclass(frozen=True)
class LoadedImage:
    """An image as `Job.load` gives it. pixels: (H, W, 3) uint8 RGB. views: (h, w, 3) uint8 each, what the network is to
    see, none once it is in a batch. extra: whatever else was read.
    """

    photo: Photo
    pixels: np.ndarray
    views: tuple[np.ndarray, ...] = ()
    extra: Any = None

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        height, width = self.pixels.shape[:2]
        return height, width


@dataclass(frozen=True)
class Batch:
    """B images of one size (H, W). views: (B, 3, h, w) uint8 each, on the CPU, pinned for a GPU."""

    images: tuple[LoadedImage, ...]
    views: tuple[Tensor, ...]

    @property
    def size(self) -> tuple[int, int]:
        return self.images[0].size


class Job(ABC, Generic[Found, Result]):
    """What is done with each image: three methods, each called on the threads that suit it.

    1. `load` reads an image, on threads ahead of the network. By default its pixels, and a view for each scale.
    2. `forward` computes one batch after the other, on the thread that calls `infer`. It returns a result for each
       image, best through `to_host`, which copies it from the GPU while the next batch is computed.
    3. `write` finishes a result, on threads behind the network: waits for its copy, post-processes, writes files, last
       the one whose presence marks the image as done. `infer` gives what it returns.

    scales: at which the network sees an image. mirror: it also sees the mirror images. Both bound the pixels that an
    image or a batch may have. gradients: `forward` needs them (Grad-CAM). docs/add-a-method.md has an example.
    """

    scales: Sequence[float] = (1.0,)
    mirror: bool = False
    gradients: bool = False

    @property
    def max_pixels(self) -> int:
        """The most of an image, and of a batch's images together."""
        return pixel_limit(self.scales, mirror=self.mirror)

    def load(self, photo: Photo) -> LoadedImage:
        """Raises SBNetError for an image that cannot be used. Subclasses may add `extra` to what this gives."""
        pixels = photo.pixels(max_pixels=self.max_pixels)
        return LoadedImage(photo, pixels, tuple(resized(pixels, self.scales)))

    @abstractmethod
    def forward(self, batch: Batch) -> Sequence[Found]:
        """One result an image, in the batch's order."""

    @abstractmethod
    def write(self, image: LoadedImage, result: Found) -> Result:
        """image: without its views."""


def infer(
    images: Sequence[Photo], job: Job[Found, Result], *, runtime: Runtime, failed: Told | None = None
) -> Iterator[Result]:
    """What `job.write` returns for each image: in the images' order where a batch is one image, otherwise images of the
    same size together.

    failed: called on this thread for each image that `job.load` refuses; the others continue. Without it the error is
    raised, as are those of `forward` and `write`, and SBNetError where the GPU's memory does not suffice. Results of
    earlier images are finished first.
    """
    most, device = runtime.images_at_once, runtime.torch_device()

    def writers() -> Iterator[tuple[Callable[[], Result], int]]:
        groups = _of_one_size(images, pool, most=most, pixels=job.max_pixels)
        reads = ((partial(tried, photo, partial(job.load, photo)), 0) for group in groups for photo in group)
        ahead = in_order(pool, reads, most=most + max(AHEAD, most), weight=0)
        for group in groups:
            loaded = list(without_failures(islice(ahead, len(group)), failed))
            if not loaded:
                continue
            with gpu_memory_told(loaded[0].photo.path, _less_memory(len(loaded))):
                views = zip(*(image.views for image in loaded), strict=True)
                batch = Batch(
                    tuple(replace(image, views=()) for image in loaded),
                    tuple(stacked(one, device=device) for one in views),
                )
                with torch.inference_mode(not job.gradients):
                    results = job.forward(batch)
            weight = batch.size[0] * batch.size[1]
            for image, result in zip(batch.images, results, strict=True):
                yield partial(job.write, image, result), weight

    with ThreadPoolExecutor(max(1, runtime.worker_count)) as pool:
        behind = max(AHEAD, most, runtime.worker_count)
        yield from in_order(pool, writers(), most=behind, weight=MAX_PIXELS)


def tried(photo: Photo, work: Callable[[], Result]) -> Result | Failure:
    """What `work()` gives for the image, or why it cannot."""
    try:
        return work()
    except SBNetError as error:
        return Failure(photo, error)


def without_failures(results: Iterable[Result | Failure], failed: Told | None) -> Iterator[Result]:
    """The results; `failed` is called for failures, or they are raised where there is none."""
    for result in results:
        if not isinstance(result, Failure):
            yield result
        elif failed is None:
            raise result.error
        else:
            failed(result.photo, result.error)


def _less_memory(images: int) -> str:
    """What takes less of a GPU's memory, where so many images passed the network together."""
    first = f"lower runtime.inference_batch below {images}" if images > 1 else "make the image smaller"
    return f"{first}, lower the scales at which the network sees it, use the CPU (device=cpu)"


def _of_one_size(
    images: Sequence[Photo], pool: ThreadPoolExecutor, *, most: int, pixels: int
) -> list[list[Photo]]:
    """Images of the same size together, `most` of them or as many as have no more than `pixels`; one at least. An image
    whose size cannot be read is alone: its error comes when it is loaded.
    """
    if most == 1:
        return [[photo] for photo in images]
    alike: dict[tuple[int, int] | Failure, list[Photo]] = {}
    sizes = pool.map(lambda photo: tried(photo, photo.size), images)
    for photo, size in zip(images, sizes, strict=True):
        alike.setdefault(size, []).append(photo)
    groups = []
    for size, members in alike.items():
        count = 1 if isinstance(size, Failure) else max(1, min(most, pixels // (size[0] * size[1])))
        groups += [members[start : start + count] for start in range(0, len(members), count)]
    return groups
