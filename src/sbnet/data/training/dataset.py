"""What training reads: samples that depend on (seed, epoch, image) alone, in an order that starts anywhere.

Shapes: B batch, C classes (background included), crop: side of the square that training sees.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from sbnet.data.datasets.collection import Collection, Photo
from sbnet.data.io.image import photo_size, read_mask
from sbnet.data.io.named_files import masks_by_name
from sbnet.data.training.transforms import Sample, TrainTransform
from sbnet.errors import SBNetError

Item = dict[str, Tensor | str]
Extra = Callable[[Sample, np.random.Generator], Mapping[str, Tensor]]
_ITEM, _ORDER = 0, 1  # keep the random streams of samples and of their order apart


class TrainingSet(Dataset[Item]):
    """Augmented images with their labels; item (epoch, index) is the same whatever worker reads it and when.

    normalization: uint8 RGB (B, 3, H, W) -> float32, done on the device.
    label_folder: labels NAME.png of all images; truth: their ground truth instead.
    extra: what else a method's samples hold, such as edges or a second crop: (sample, generator) -> tensors by name. They
    are collated and moved to the device like the rest; views as bytes are normalized by `images`. The generator is the
    item's own, so that random draws depend on (seed, epoch, image) alone. Raises `SBNetError` for an image without its
    label.

    An item: `name`; `photo` (crop, crop, 3) uint8, empty outside `box` (4,) int64, a `Box`; `labels` (C-1,) float32
    0/1; with label_folder or truth: `label` (crop, crop) uint8; and what `extra` gives.
    A batch on the device has `image` (B, 3, crop, crop) float32 instead of `photo` and `box`.
    """

    def __init__(
        self,
        collection: Collection,
        transform: TrainTransform,
        *,
        normalization: Callable[[Tensor], Tensor],
        seed: int = 0,
        label_folder: str | Path | None = None,
        truth: bool = False,
        extra: Extra | None = None,
    ) -> None:
        self.collection, self.transform, self.seed = collection, transform, seed
        self._normalization = normalization
        self._extra = extra
        self._labels: list[Path] | None = None
        if label_folder is not None:
            self._labels = label_files(Path(label_folder), collection)
        elif truth:
            self._labels = [_true_mask(photo, collection) for photo in collection]

    def __len__(self) -> int:
        return len(self.collection)

    def __getitem__(self, key: tuple[int, int]) -> Item:
        try:
            return self._item(*key)
        except SBNetError as error:
            raise error if get_worker_info() is None else WorkerError(str(error)) from None

    def _item(self, epoch: int, index: int) -> Item:
        photo = self.collection.photos[index]
        size = photo_size(photo.path)
        generator = np.random.default_rng((_ITEM, self.seed, epoch, index))
        plan = self.transform.plan(size, generator)
        pixels = photo.pixels(needed=self.transform.needed(plan))
        label = None
        if self._labels is not None:
            label = read_mask(self._labels[index], classes=len(self.collection.classes), size=size)
        sample = self.transform(pixels, label, plan=plan)
        item: Item = {
            "name": photo.name,
            "photo": torch.from_numpy(sample.photo),
            "box": torch.tensor(sample.box),
            "labels": torch.from_numpy(self.collection.label_vector(photo)),
        }
        if sample.label is not None:
            item["label"] = sample.label
        if self._extra is not None:
            item |= self._extra(sample, generator)
        return item

    def on_device(self, batch: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
        """A collated batch there, the images normalized. Bytes travel: a quarter of what the images would be."""
        moved = {
            key: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
            for key, value in batch.items()
        }
        image = images(moved.pop("photo"), moved.pop("box"), self._normalization)
        return moved | {"image": image}


def images(photo: Tensor, box: Tensor, normalization: Callable[[Tensor], Tensor]) -> Tensor:
    """Images (B, crop, crop, 3) uint8 and boxes (B, 4) -> (B, 3, crop, crop) float32, 0 outside the boxes."""
    top, left, height, width = box[:, :, None].unbind(1)
    place = torch.arange(photo.shape[1], device=box.device)
    rows, columns = (place < top) | (place >= top + height), (place < left) | (place >= left + width)
    outside = rows[:, :, None] | columns[:, None, :]
    return normalization(photo.permute(0, 3, 1, 2)).masked_fill_(outside[:, None], 0)


@dataclass(frozen=True)
class EpochSampler:
    """Batches of (epoch, index) of `count` images over all epochs in one stream, each epoch in its own order.

    The last, smaller batch of an epoch is dropped, unless it is the only one. Starts at batch `first` of the stream. No
    restart between epochs, so workers never run dry.
    """

    count: int
    epochs: int
    seed: int
    batch_size: int
    first: int = 0

    @staticmethod
    def batches_per_epoch(count: int, batch_size: int) -> int:
        return max(1, count // batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        per_epoch = self.batches_per_epoch(self.count, self.batch_size)
        start_epoch, start = divmod(self.first, per_epoch)
        for epoch in range(start_epoch, self.epochs):
            order = np.random.default_rng((_ORDER, self.seed, epoch)).permutation(self.count).tolist()
            for batch in range(start if epoch == start_epoch else 0, per_epoch):
                indices = order[batch * self.batch_size : (batch + 1) * self.batch_size]
                yield [(epoch, index) for index in indices]


class WorkerError(SBNetError):
    """An `SBNetError` from a loader's worker; torch wraps a traceback around it, which is cut off here."""

    def __init__(self, message: str) -> None:
        super().__init__(message.rpartition(f"{WorkerError.__name__}: ")[2].rstrip())


def start_worker(_worker: int) -> None:
    """Leaves Ctrl-C to the main process, and SIGTERM unless that one sends it: both may go to all processes at once, and
    the training's step under way needs its batches. Nothing is seeded: items bring their own generator.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # not on macOS
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_with_main_process, daemon=True).start()


def _end_with_main_process() -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != os.getppid():
        pass
    os._exit(0)


def label_files(folder: Path, collection: Collection) -> list[Path]:
    """`folder`/NAME.png of each image. Raises SBNetError where one is missing."""
    present = masks_by_name(folder)
    missing = [photo.name for photo in collection if photo.name not in present]
    if missing:
        raise SBNetError(
            f"{folder}: {len(missing)} of {len(collection)} labels are missing, first {missing[0]}.png: "
            "run the step that writes them again, or add them"
        )
    return [present[photo.name] for photo in collection]


def _true_mask(photo: Photo, collection: Collection) -> Path:
    if photo.mask is None:
        raise SBNetError(
            f"{collection.name}: image '{photo.name}' has no ground-truth mask: "
            f"add {photo.name}.png to the folder of ground truth (data.masks), or train on pseudo masks"
        )
    return photo.mask
