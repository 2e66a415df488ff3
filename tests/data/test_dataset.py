"""Samples depend on (seed, epoch, image) alone; the order can start anywhere; workers report plainly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, default_collate

from sbnet.data.datasets.voc.folder import read_voc
from sbnet.data.io.files import write_label
from sbnet.data.training.dataset import EpochSampler, TrainingSet, start_worker
from sbnet.data.training.transforms import Sample, TrainTransform
from sbnet.errors import SBNetError


def normalization(photo: Tensor) -> Tensor:
    return photo.float() / 255 - 0.5


def _photos(folder: Path, **options: Any) -> TrainingSet:
    transform = TrainTransform(crop=24, long_side=(20, 40))
    return TrainingSet(read_voc(folder, "train"), transform, normalization=normalization, **options)


def _loader(photos: TrainingSet, *, workers: int, first: int = 0) -> DataLoader:
    sampler = EpochSampler(len(photos), epochs=3, seed=4, batch_size=2, first=first)
    return DataLoader(photos, batch_sampler=sampler, num_workers=workers, worker_init_fn=start_worker)


def _equal(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(one[key], other[key]) if isinstance(one[key], Tensor) else one[key] == other[key]
        for key in one
    )


def test_item(folder: Path) -> None:
    item = _photos(folder, truth=True)[0, 2]
    shapes = {
        key: (tuple(value.shape), value.dtype) for key, value in item.items() if isinstance(value, Tensor)
    }
    assert item["name"] == "c"
    assert shapes == {
        "photo": ((24, 24, 3), torch.uint8),
        "box": ((4,), torch.int64),
        "labels": ((2,), torch.float32),
        "label": ((24, 24), torch.uint8),
    }
    assert _photos(folder)[0, 0].keys() == {"name", "photo", "box", "labels"}


def test_items_depend_on_seed_epoch_and_photo_alone(folder: Path) -> None:
    photos = _photos(folder, truth=True)
    item = photos[1, 0]
    state = torch.get_rng_state()
    assert _equal(item, _photos(folder, truth=True)[1, 0])
    assert torch.equal(state, torch.get_rng_state())
    assert not _equal(item, photos[2, 0])
    assert not _equal(item, _photos(folder, truth=True, seed=1)[1, 0])


def test_workers_and_a_later_start_change_nothing(folder: Path) -> None:
    photos = _photos(folder, truth=True)
    alone = list(_loader(photos, workers=0))
    shared = list(_loader(photos, workers=2))
    assert len(alone) == len(shared) == 3
    assert all(_equal(one, other) for one, other in zip(alone, shared, strict=True))
    assert _equal(alone[2], next(iter(_loader(photos, workers=0, first=2))))
    assert alone[0]["photo"].shape == (2, 24, 24, 3)
    assert isinstance(alone[0]["name"], list)


def second_crop(sample: Sample, generator: np.random.Generator) -> dict[str, Tensor]:
    """What a method with two crops adds: a random one of the first."""
    top, left = (int(number) for number in generator.integers(0, 12, 2))
    place = torch.tensor([top, left])
    return {"crop": torch.from_numpy(sample.photo[top : top + 12, left : left + 12].copy()), "place": place}


def test_a_method_adds_to_samples_and_changes_nothing_else(folder: Path) -> None:
    """Its own random draws too depend on (seed, epoch, image) alone."""
    plain, more = _photos(folder, truth=True), _photos(folder, truth=True, extra=second_crop)
    item = more[1, 0]
    (top, left), whole = item["place"].tolist(), item["photo"]
    assert torch.equal(item["crop"], whole[top : top + 12, left : left + 12])
    assert _equal({key: item[key] for key in plain[1, 0]}, plain[1, 0])
    alone, shared = (list(_loader(more, workers=workers)) for workers in (0, 2))
    assert all(_equal(one, other) for one, other in zip(alone, shared, strict=True))
    assert len({tuple(place) for batch in alone for place in batch["place"].tolist()}) > 1
    batch = more.on_device(alone[0], torch.device("cpu"))
    assert (batch["crop"].shape, batch["crop"].dtype) == ((2, 12, 12, 3), torch.uint8)


def test_images_are_normalised_on_the_device_and_0_outside_the_photo(folder: Path) -> None:
    photos = _photos(folder)
    batch = default_collate([photos[0, index] for index in range(3)])
    found = photos.on_device(batch, torch.device("cpu"))
    assert found.keys() == {"name", "image", "labels"}
    assert (found["image"].shape, found["image"].dtype) == ((3, 3, 24, 24), torch.float32)
    empty = 0
    for image, photo, (top, left, height, width) in zip(
        found["image"], batch["photo"], batch["box"], strict=True
    ):
        expected = torch.zeros(3, 24, 24)
        rows, columns = slice(top, top + height), slice(left, left + width)
        expected[:, rows, columns] = normalization(photo.permute(2, 0, 1))[:, rows, columns]
        assert torch.equal(image, expected)
        empty += int((expected == 0).sum())
    assert empty  # or nothing is tested


def test_a_large_jpeg_is_decoded_smaller_where_that_is_enough(folder: Path) -> None:
    with Image.open(folder / "JPEGImages/a.jpg") as small:
        small.resize((320, 240)).save(folder / "JPEGImages/a.jpg", quality=95)
    seen = []

    class Spy(TrainTransform):
        def __call__(self, photo: np.ndarray, *args: Any, **options: Any) -> Any:
            seen.append(photo.shape[:2])
            return super().__call__(photo, *args, **options)

    items = []
    for augmentation in ("fast", "exact"):
        transform = Spy(crop=24, long_side=(30, 40), jitter=None, augmentation=augmentation)
        (folder / "SegmentationClass/a.png").unlink(missing_ok=True)
        (folder / "labels.txt").write_text("a cat\nb dog\nc cat\n")
        pets = read_voc(folder, "train", labels=folder / "labels.txt")
        items.append(TrainingSet(pets, transform, normalization=normalization)[0, 0])
    assert seen == [(60, 80), (240, 320)]
    difference = items[0]["photo"].int() - items[1]["photo"].int()
    assert difference.abs().float().mean() < 1.5  # of an image that is noise
    assert torch.equal(items[0]["box"], items[1]["box"])


def test_labels_of_a_folder(folder: Path, tmp_path: Path) -> None:
    for name, size in (("a", (24, 32)), ("b", (32, 24)), ("c", (20, 20))):
        write_label(tmp_path / f"labels/{name}.png", np.full(size, 2, np.uint8))
    photos = _photos(folder, label_folder=tmp_path / "labels")
    assert set(torch.unique(photos[0, 0]["label"]).tolist()) <= {2, 255}
    write_label(tmp_path / "labels/a.png", np.full((24, 32), 3, np.uint8))
    with pytest.raises(SBNetError, match=r"a\.png: the mask has the class id 3"):
        photos[0, 0]
    write_label(tmp_path / "labels/a.png", np.zeros((32, 24), np.uint8))
    with pytest.raises(SBNetError, match=r"a\.png: the mask has 24 x 32 pixels"):
        photos[0, 0]
    (tmp_path / "labels/b.png").unlink()
    with pytest.raises(SBNetError, match=r"labels: 1 of 3 labels are missing, first b\.png"):
        _photos(folder, label_folder=tmp_path / "labels")


def test_truth_needs_masks(folder: Path) -> None:
    (folder / "SegmentationClass/b.png").unlink()
    (folder / "labels.txt").write_text("a cat\nb dog\nc cat\n")
    pets = read_voc(folder, "train", labels=folder / "labels.txt")
    transform = TrainTransform(crop=8, long_side=(8, 8))
    with pytest.raises(SBNetError, match=r"image 'b' has no ground-truth mask: add b\.png to the folder"):
        TrainingSet(pets, transform, normalization=normalization, truth=True)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_photo_is_one_plain_message(folder: Path, workers: int) -> None:
    photos = _photos(folder)
    (folder / "JPEGImages/a.jpg").write_bytes(b"no photo")
    with pytest.raises(SBNetError) as caught:
        list(_loader(photos, workers=workers))
    message = str(caught.value)
    assert message.startswith(str(folder / "JPEGImages/a.jpg: the image cannot be read"))
    assert "Traceback" not in message
    assert message.endswith("remove it from the list")


@settings(max_examples=50, deadline=None)
@given(
    count=st.integers(1, 20),
    batch=st.integers(1, 8),
    epochs=st.integers(1, 4),
    seed=st.integers(0, 2**32),
    done=st.floats(0, 1),
)
def test_epoch_sampler(count: int, batch: int, epochs: int, seed: int, done: float) -> None:
    whole = list(EpochSampler(count, epochs=epochs, seed=seed, batch_size=batch))
    per_epoch = EpochSampler.batches_per_epoch(count, batch)
    assert len(whole) == epochs * per_epoch
    for epoch in range(epochs):
        keys = [key for keys in whole[epoch * per_epoch : (epoch + 1) * per_epoch] for key in keys]
        assert {key[0] for key in keys} == {epoch}
        assert len({key[1] for key in keys}) == len(keys) == min(count, per_epoch * batch)
        assert all(0 <= index < count for _, index in keys)
    first = int(done * len(whole))
    later = EpochSampler(count, epochs=epochs, seed=seed, batch_size=batch, first=first)
    assert list(later) == whole[first:]


def test_epochs_and_seeds_have_their_own_order() -> None:
    orders = [list(EpochSampler(50, epochs=2, seed=seed, batch_size=50)) for seed in (0, 1)]
    found = {tuple(index for _, index in batch) for order in orders for batch in order}
    assert len(found) == 4
