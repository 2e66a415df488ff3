"""One training step of the CAM network, ResNet-38, against the reference's way: python benchmarks/training_step.py
[IMAGE]

One image (without a path, a built-in scene, whose mask serves as label either way), crop 448 and its view of 134. The
peer computes in float32, with the losses over all 21 classes, and gets its boundary maps and edges for nothing; ours is
what the step `train_cam` does, boundary maps included. Both on all cores, without dropout.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import reference_cam
from harness import Side, compare, table

CROP, SMALL = 448, 134
TERMS = ("class", "min_pool", "equivariance", "cross", "boundary", "smoothness")


def photo_and_label(path: str | None) -> dict[str, np.ndarray]:
    """photo (448, 448, 3) uint8, label (448, 448) uint8."""
    from PIL import Image

    from sbnet.data.synthetic.scenes import scene

    pixels, mask, _ = scene(0, 3, size=(CROP, CROP))
    if path is not None:
        pixels = np.asarray(Image.open(path).convert("RGB").resize((CROP, CROP)))
    return {"photo": pixels, "label": mask}


def batch(inputs: dict[str, np.ndarray], net: Any) -> dict[str, Any]:
    """What the loader gives: one item."""
    import torch

    from sbnet.data.training.transforms import Box, Sample
    from sbnet.methods.sbnet.edges import edge_maps

    photo, label = inputs["photo"], torch.from_numpy(inputs["label"])
    image = net.normalization(torch.from_numpy(photo).permute(2, 0, 1))
    sample = Sample(photo, label, Box(0, 0, CROP, CROP))
    labels = torch.zeros(1, net.classes - 1)
    labels[0, label.unique().long()[1:] - 1] = 1
    edges = edge_maps(sample, np.random.default_rng(), shrink=SMALL / CROP)
    return {"image": image[None], "label": label[None], "labels": labels} | {
        name: edge[None] for name, edge in edges.items()
    }


def peer(inputs: dict[str, np.ndarray]) -> Callable[[], np.ndarray]:
    from sbnet.ops import label_boundaries

    net = reference_cam.network()
    given, optimizer = batch(inputs, net), reference_cam.optimizer(net)
    images, boundaries = given["image"].contiguous(), label_boundaries(given["label"], classes=net.classes)
    edges = [given[name].float() for name in ("canny", "canny_small")]

    def step() -> np.ndarray:
        optimizer.zero_grad()
        shrunk = reference_cam.enlarge(images, (SMALL, SMALL))
        outputs = tuple(
            reference_cam.forward(net, view, edge) for view, edge in zip((images, shrunk), edges, strict=True)
        )
        terms = reference_cam.losses(outputs, given["labels"], boundaries)
        sum(terms.values()).backward()  # type: ignore[union-attr]
        optimizer.step()
        return np.array([terms[name].item() for name in TERMS])

    return step


def ours(inputs: dict[str, np.ndarray]) -> Callable[[], np.ndarray]:
    import torch

    from sbnet.engine.resources import fast_steps
    from sbnet.engine.runtime import Runtime
    from sbnet.methods.sbnet.settings import SBNetTrainSettings
    from sbnet.methods.sbnet.train import boundary_terms

    model = reference_cam.network()
    given = batch(inputs, model)
    fabric = Runtime(device="cpu").fabric(model)
    model.to(memory_format=torch.channels_last)
    net, optimizer = fabric.setup(model, reference_cam.optimizer(model))
    settings = SBNetTrainSettings(shrink=SMALL / CROP)
    within = fast_steps(model, fabric.device, compiled=False)
    within.__enter__()  # for as long as this process is there

    def step() -> np.ndarray:
        optimizer.zero_grad()
        with torch.autocast("cpu", enabled=False):  # around the network's own, as in a training
            terms = boundary_terms(net, given, settings=settings, classes=model.classes)
        fabric.backward(sum(terms.values()))
        optimizer.step()
        return np.array([terms[name].item() for name in TERMS])

    step.within = within  # type: ignore[attr-defined]  # else it would end with this function
    return step


def main(path: str | None) -> str:
    sides = (Side("reference", __file__, "peer"), Side("sbnet", __file__, "ours"))
    there, here = compare(*sides, photo_and_label(path), runs=3, environment={})
    agreement = f"loss {there.result.sum():.4f} / {here.result.sum():.4f}"
    return table("One training step, ResNet-38, all cores", [("crop 448 + 134", there, here, agreement)])


if __name__ == "__main__":
    print(main(sys.argv[1] if len(sys.argv) > 1 else None))
