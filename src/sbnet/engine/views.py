"""What a network sees of images, and its answer in their own orientation; the network on its device, and the ways there
and back.

Shapes: B images of one size, H x W pixels; h x w: a view's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from lightning_fabric import Fabric
from PIL import Image
from torch import Tensor, nn

from sbnet.backbones.base import Backbone
from sbnet.backbones.fold import fold_batch_norm
from sbnet.engine.resources import gpu_memory_told
from sbnet.engine.runtime import Runtime

OnHost = Callable[[], np.ndarray]  # see `to_host`


def inference_network(model: nn.Module, runtime: Runtime) -> tuple[Fabric, nn.Module]:
    """`model` on the device, for inference alone; it is changed, and can be neither trained nor saved any more.

    Its backbones' batch norms are folded, their convolutions kept in bfloat16 where that is the precision, to which
    autocast would otherwise convert them in every pass; channels last. Raises SBNetError where the GPU's memory does
    not suffice.
    """
    fabric = runtime.fabric(model)
    for backbone in [module for module in model.eval().modules() if isinstance(module, Backbone)]:
        fold_batch_norm(backbone)
        if runtime.precision_for(model) == "bf16":
            for module in backbone.modules():
                if isinstance(module, nn.Conv2d):
                    module.to(torch.bfloat16)
    with gpu_memory_told("the network", "use a smaller one, or runtime.device=cpu"):
        return fabric, fabric.setup_module(model.to(memory_format=torch.channels_last))


def resized(pixels: np.ndarray, scales: Sequence[float]) -> list[np.ndarray]:
    """An image (H, W, 3) uint8 at each scale: (h, w, 3).

    Sizes are (round(w s), round(h s)), at least 1, by Pillow's bicubic, as the reference does.
    """
    height, width = pixels.shape[:2]
    found = []
    for scale in scales:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        at_scale = pixels if scale == 1 else Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)
        found.append(np.asarray(at_scale))
    return found


def stacked(images: Sequence[np.ndarray], *, device: torch.device) -> Tensor:
    """(h, w, 3) uint8 each -> (B, 3, h, w) uint8, still on the CPU: pinned where the device is a GPU, which then copies
    it while it computes.
    """
    shape = (len(images), *images[0].shape)
    stack = torch.empty(shape, dtype=torch.uint8, pin_memory=device.type == "cuda")
    np.stack(images, out=stack.numpy())
    return stack.permute(0, 3, 1, 2)


def stacks(images: Sequence[np.ndarray], scales: Sequence[float], *, device: torch.device) -> list[Tensor]:
    """Images (H, W, 3) uint8 of one size -> (B, 3, h, w) uint8 for each scale."""
    at_scales = zip(*(resized(pixels, scales) for pixels in images), strict=True)
    return [stacked(views, device=device) for views in at_scales]


def views(
    stacks: Iterable[Tensor], network: nn.Module, *, mirror: bool, device: torch.device
) -> Iterator[Tensor]:
    """Stacks (B, 3, h, w) uint8, one a scale -> the same normalised, on the device; with their mirror images behind
    them (2 B, 3, h, w).
    """
    for stack in stacks:
        images = stack.to(device, non_blocking=True)
        if mirror:
            images = torch.cat([images, images.flip(-1)])
        yield network.normalization(images).contiguous(memory_format=torch.channels_last)  # type: ignore[operator]


def unmirror(maps: Tensor, images: int) -> Tensor:
    """(B or 2 B, ...) of B images, or of them and their mirror images -> (B, ...), their sum in the images' own
    orientation.
    """
    return maps if len(maps) == images else maps[:images] + maps[images:].flip(-1)


def to_host(values: Tensor) -> OnHost:
    """Starts copying a result to the CPU. Calling what this returns waits for the copy, on any thread, and not for what
    the GPU was asked to do after it; this thread continues with the next images.
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
