"""Multi-scale CAM inference of one image, ResNet-38, against the reference's way: python benchmarks/cam_inference.py
[IMAGE]

Without an image, a built-in scene; 500 x 375 either way. The peer takes every scale and mirror by itself, in float32,
with boundary head and Canny map; ours is what the step `infer_cam` does. Both on all cores.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import reference_cam
from crf import photo
from harness import Side, compare, table

CLASSES = (3, 12, 15)  # of the image


def peer(inputs: dict[str, np.ndarray], *, scales: list[float]) -> Callable[[], np.ndarray]:
    import torch
    import torch.nn.functional as F
    from PIL import Image

    from sbnet.ops import canny

    pixels, net = inputs["photo"], reference_cam.network()
    height, width = pixels.shape[:2]

    @torch.no_grad()
    def run() -> np.ndarray:
        total = torch.zeros(len(CLASSES), height, width)
        for scale in scales:
            size = (round(width * scale), round(height * scale))
            resized = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
            for view in (resized, resized[:, ::-1].copy()):
                images = net.normalization(torch.from_numpy(view.copy()).permute(2, 0, 1)[None]).contiguous()
                edges = torch.from_numpy(canny(view))[None, None].float()
                _, refined, _ = reference_cam.forward(net, images, edges)
                cam = F.interpolate(refined, (height, width), mode="bilinear")[0, list(CLASSES)]
                total += cam if view is resized else cam.flip(-1)
        return total.numpy()

    return run


def ours(inputs: dict[str, np.ndarray], *, scales: list[float]) -> Callable[[], np.ndarray]:
    import torch

    from sbnet.engine.runtime import Runtime
    from sbnet.engine.views import inference_network, stacks, views
    from sbnet.methods.cam.infer import summed_maps

    fabric, net = inference_network(reference_cam.network(), Runtime(device="cpu"))
    pixels, device = inputs["photo"], fabric.device
    height, width = pixels.shape[:2]

    @torch.inference_mode()
    def run() -> np.ndarray:
        seen = views(stacks([pixels], scales, device=device), net, mirror=True, device=device)
        outputs = (net(images, enlarge=False) for images in seen)
        total, _ = summed_maps(outputs, (height, width), [CLASSES], refined=True, device=device)
        return total.numpy()

    return run


def main(path: str | None) -> str:
    rows = []
    for scales, runs in (([0.5, 1.0], 3), ([0.5, 1.0, 1.5, 2.0], 1)):
        there, here = compare(
            Side("reference", __file__, "peer"),
            Side("sbnet", __file__, "ours"),
            {"photo": photo(path)},
            runs=runs,
            environment={},
            scales=scales,
        )
        apart = np.abs(there.result - here.result) / np.ptp(there.result)
        rows.append(
            (
                f"scales {', '.join(map(str, scales))} and mirrors",
                there,
                here,
                f"refined CAM: {100 * apart.max():.2f} % of range at most, {100 * apart.mean():.3f} % mean",
            )
        )
    return table("CAM inference, ResNet-38, 500 x 375, all cores", rows)


if __name__ == "__main__":
    print(main(sys.argv[1] if len(sys.argv) > 1 else None))
