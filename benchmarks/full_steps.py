"""Training steps of full size on a GPU, against the reference's way: python benchmarks/full_steps.py [small]

SBNet's CAM network over ResNet-38 (crop 448 and its view of 134) and DeepLab v2 over ResNet-101 (crop 321, three
scales, four losses), from random weights, without dropout. The peer: one device, float32, contiguous, boundary maps
read as 21 x H x W float32 arrays from disk, labels resized by Pillow. Ours: what the steps of a run do, in float32 and
in bf16, boundaries made of label PNGs. Both read a step ahead, and get images and edges for nothing but the way to the
device.

Without a GPU it says so and measures nothing; `small` runs the same steps with small crops on whatever there is.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import reference_cam
from harness import Measured, Side, compare, machine

CLASSES, SHRINK = 21, 0.3
PHOTOS = (8, 4, 2, 1)  # a step, as many as fit
SCALES = (1.0, 0.5, 0.75)


class Size(NamedTuple):
    """crops, photos (to try): of either step. scene: height and width of the built-in scenes. steps: of one run; runs:
    as in `compare`.
    """

    crops: dict[str, int]
    photos: dict[str, tuple[int, ...]]
    scene: tuple[int, int]
    steps: int
    runs: int


FULL = Size({"SBNet": 448, "DeepLab v2": 321}, {"SBNet": PHOTOS, "DeepLab v2": (5, 2, 1)}, (375, 500), 5, 5)
SMALL = Size({"SBNet": 64, "DeepLab v2": 65}, {"SBNet": (2,), "DeepLab v2": (2,)}, (72, 96), 1, 1)
TITLES = {"SBNet": "SBNet, ResNet-38", "DeepLab v2": "DeepLab v2, ResNet-101"}


def make_samples(folder: Path, *, case: str, size: Size, photos: int) -> None:
    """`batch.pt`: what the loader gives of scenes, but for what a step reads itself: NAME.npy for the peer, their 21
    boundary maps, and NAME.png, their labels, as they are after cropping.
    """
    import torch
    from torch.utils.data import default_collate

    from sbnet.backbones.normalization import IMAGENET
    from sbnet.data.datasets.voc.folder import read_voc
    from sbnet.data.io.files import write_label
    from sbnet.data.synthetic.scenes import make_scenes
    from sbnet.data.training.dataset import TrainingSet
    from sbnet.data.training.transforms import TrainTransform
    from sbnet.methods.sbnet.edges import edge_maps
    from sbnet.ops import label_boundaries

    listed = read_voc(make_scenes(folder / "scenes", train=photos, val=1, size=size.scene, seed=0), "train")
    crop = size.crops[case]
    change = TrainTransform(crop=crop, long_side=(crop, max(size.scene) * 3 // 2), jitter=None)
    edges = partial(edge_maps, shrink=SHRINK) if case == "SBNet" else None
    samples = TrainingSet(listed, change, normalization=IMAGENET, truth=True, extra=edges)
    batch = default_collate([samples[0, index] for index in range(photos)])
    labels = batch.pop("label")
    batch["labels"] = torch.nn.functional.pad(batch["labels"], (0, CLASSES - 1 - batch["labels"].shape[1]))
    torch.save({key: value for key, value in batch.items() if key != "name"}, folder / "batch.pt")
    for index, label in enumerate(labels):
        write_label(folder / f"{index}.png", label.numpy())
        maps = label_boundaries(label[None], classes=CLASSES)[0]
        np.save(folder / f"{index}.npy", maps.numpy())


def _ahead(read: Callable[[int], np.ndarray], photos: int) -> Callable[[], np.ndarray]:
    """What each step reads, image by image on threads, while the step before it computes."""
    pool = ThreadPoolExecutor(photos)
    waiting = [pool.submit(read, index) for index in range(photos)]

    def take() -> np.ndarray:
        nonlocal waiting
        found = np.stack([future.result() for future in waiting])
        waiting = [pool.submit(read, index) for index in range(photos)]
        return found

    return take


def peer(
    _inputs: dict, *, case: str, folder: str, photos: int, steps: int, device: str, **_others: Any
) -> Callable[[], np.ndarray]:
    import torch

    given = torch.load(Path(folder, "batch.pt"), weights_only=True)
    make = _sbnet_peer if case == "SBNet" else _deeplab_peer
    return _timed(make(given, Path(folder), photos, device), steps, device)


def _sbnet_peer(given: dict[str, Any], folder: Path, photos: int, device: str) -> Callable[[], Any]:
    import torch

    from sbnet.data.training.dataset import images

    net = reference_cam.network().to(device)
    optimizer = reference_cam.optimizer(net)
    normalized = images(given["photo"], given["box"], net.normalization)
    read = _ahead(lambda index: np.load(folder / f"{index}.npy"), photos)
    side = int(SHRINK * normalized.shape[-1])

    def step() -> Any:
        boundaries = torch.from_numpy(read()).to(device)
        view, labels = normalized.to(device), given["labels"].to(device)
        edges = [given[name].to(device).float() for name in ("canny", "canny_small")]
        optimizer.zero_grad()
        seen = (view, reference_cam.enlarge(view, (side, side)))
        outputs = tuple(reference_cam.forward(net, one, edge) for one, edge in zip(seen, edges, strict=True))
        loss = sum(reference_cam.losses(outputs, labels, boundaries).values())
        loss.backward()  # type: ignore[union-attr]
        optimizer.step()
        return loss

    return step


def _deeplab_peer(given: dict[str, Any], folder: Path, photos: int, device: str) -> Callable[[], Any]:
    import torch
    import torch.nn.functional as F
    from PIL import Image

    from sbnet.data.io.files import read_label
    from sbnet.data.training.dataset import images

    net = _deeplab().to(device)
    optimizer = reference_cam.optimizer(net)
    normalized = images(given["photo"], given["box"], net.normalization)
    read = _ahead(lambda index: read_label(folder / f"{index}.png"), photos)

    def resized(labels: np.ndarray, logits: Any) -> Any:
        size = (logits.shape[-1], logits.shape[-2])
        small = [np.asarray(Image.fromarray(one).resize(size, Image.Resampling.NEAREST)) for one in labels]
        return torch.from_numpy(np.stack(small)).long().to(device)

    def step() -> Any:
        labels, view = read(), normalized.to(device)
        optimizer.zero_grad()
        answers = [net.aspp(net.backbone(view)[-1])]
        for scale in SCALES[1:]:
            shrunk = F.interpolate(view, scale_factor=scale, mode="bilinear", recompute_scale_factor=False)
            answers.append(net.aspp(net.backbone(shrunk)[-1]))
        size = answers[0].shape[-2:]
        enlarged = [F.interpolate(logits, size=size, mode="bilinear") for logits in answers]
        answers.append(torch.stack(enlarged).amax(0))
        loss = sum(F.cross_entropy(logits, resized(labels, logits), ignore_index=255) for logits in answers)
        loss.backward()  # type: ignore[union-attr]
        optimizer.step()
        return loss

    return step


def _deeplab() -> Any:
    """DeepLab v2 over ResNet-101, equal on both sides. Random weights."""
    import torch

    from sbnet.networks.build import build

    torch.manual_seed(0)
    return build("deeplabv2-resnet101", CLASSES, weights="none", scales=SCALES)


def ours(
    _inputs: dict, *, case: str, folder: str, photos: int, steps: int, device: str, precision: str
) -> Callable[[], np.ndarray]:
    import torch

    from sbnet.data.io.files import read_label
    from sbnet.data.training.dataset import images
    from sbnet.engine.runtime import Runtime
    from sbnet.methods.sbnet.settings import SBNetTrainSettings
    from sbnet.methods.sbnet.train import boundary_terms
    from sbnet.methods.seam.train import rising
    from sbnet.segmenters.train import segmentation_terms

    model = reference_cam.network() if case == "SBNet" else _deeplab()
    fabric = Runtime(device=device, precision=precision).fabric(model)
    model.to(memory_format=torch.channels_last)
    net, optimizer = fabric.setup(model, reference_cam.optimizer(model))
    given = torch.load(Path(folder, "batch.pt"), weights_only=True)
    if device == "cuda":
        given = {name: value.pin_memory() for name, value in given.items()}
    read = _ahead(lambda index: read_label(Path(folder, f"{index}.png")), photos)
    settings = SBNetTrainSettings(shrink=SHRINK)
    cam_terms = rising(partial(boundary_terms, settings=settings, classes=CLASSES), settings.loss_warmup)
    objective = cam_terms if case == "SBNet" else segmentation_terms

    def step() -> Any:
        batch = {name: value.to(fabric.device, non_blocking=True) for name, value in given.items()}
        batch["label"] = torch.from_numpy(read()).to(fabric.device)
        batch["image"] = images(batch.pop("photo"), batch.pop("box"), model.normalization)
        optimizer.zero_grad()
        with torch.autocast(fabric.device.type, enabled=False):  # around the network's own, as in a training
            loss = sum(objective(net, batch, 0.0).values())
        fabric.backward(loss)
        optimizer.step()
        return loss

    return _timed(step, steps, device)


def _timed(step: Callable[[], Any], steps: int, device: str) -> Callable[[], np.ndarray]:
    """Steps one after another, until the device has done them: the last one's loss, and the bytes of the GPU that
    tensors took at most.
    """
    import torch

    def run() -> np.ndarray:
        for _ in range(steps):
            loss = step()
        peak = 0
        if device == "cuda":
            torch.cuda.synchronize()
            peak = torch.cuda.max_memory_allocated()
        return np.array([loss.item(), peak])

    return run


def measure(case: str, size: Size, device: str, precision: str) -> str:
    """A row of the table, with as many images as fit."""
    for photos in size.photos[case]:
        with tempfile.TemporaryDirectory() as folder:
            make_samples(Path(folder), case=case, size=size, photos=photos)
            sides = (Side("reference", __file__, "peer"), Side("sbnet", __file__, "ours"))
            options = {"case": case, "folder": folder, "photos": photos, "steps": size.steps}
            try:
                there, here = compare(
                    *sides, {}, runs=size.runs, environment={}, device=device, precision=precision, **options
                )
            except RuntimeError as error:  # the side has told why; most often the GPU is too small
                print(f"{case}, {photos} images a step: {error}", file=sys.stderr)
                continue
        return _row(case, size, photos, precision, there, here)
    return f"| {TITLES[case]}, {precision} | not measured: a side failed at every number of images | | | | |"


def _row(case: str, size: Size, photos: int, precision: str, there: Measured, here: Measured) -> str:
    rates = [size.steps * photos / one.wall for one in (there, here)]
    peaks = [(one.result[1] or one.peak) / 2**30 for one in (there, here)]
    return (
        f"| {TITLES[case]}, crop {size.crops[case]}, {photos} images a step, {precision} | {rates[0]:.2f} | "
        f"{rates[1]:.2f} | {rates[1] / rates[0]:.1f}x | {peaks[0]:.1f} / {peaks[1]:.1f} GiB | "
        f"{there.result[0]:.4f} / {here.result[0]:.4f} |"
    )


def main(given: Sequence[str]) -> str:
    import torch

    gpu = torch.cuda.is_available()
    if not gpu and list(given) != ["small"]:
        return (
            "No GPU: PyTorch sees none on this machine, so the training steps of full size (SBNet over ResNet-38, 448 "
            "+ 134 pixels, 8 images; DeepLab v2 over ResNet-101, 321 pixels, 5 images) are not measured. `python "
            "benchmarks/full_steps.py small` runs small ones on the CPU."
        )
    size, device = (SMALL if list(given) == ["small"] else FULL), ("cuda" if gpu else "cpu")
    whose = torch.cuda.get_device_name() if gpu else f"CPU: {machine()}"
    row = partial(measure, size=size, device=device)
    rows = [row(case, precision=precision) for case in TITLES for precision in ("32", "bf16")]
    memory = "of the GPU" if gpu else "of the process"
    return "\n".join(
        [
            f"**Training steps from random weights, the reference's in float32** ({whose})",
            "",
            f"| step | reference, images/s | ours, images/s | ratio | peak memory {memory} | last loss |",
            "| --- | --- | --- | --- | --- | --- |",
            *rows,
        ]
    )


if __name__ == "__main__":
    print(main(sys.argv[1:]))
