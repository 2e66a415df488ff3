"""The CAM network and its losses as the reference systems compute them, written plainly after the papers: the peer of
`cam_inference.py` and `training_step.py`.

Float32, contiguous, every class enlarged, the whole matrix of the pixel correlation, 2 x 21 channels fused with the
Canny map, losses over all 21 classes. Shapes: B batch, C classes with background at 0, H x W pixels, h x w grid.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def network(seed: int = 0) -> Any:
    """The CAM network over ResNet-38, equal on both sides. Random weights, without dropout."""
    from sbnet.networks.build import build

    torch.manual_seed(seed)
    return build("sbnet-resnet38", 21, weights="none").eval()


def enlarge(maps: Tensor, size: Any) -> Tensor:
    return F.interpolate(maps, tuple(size), mode="bilinear", align_corners=True)


def forward(net: Any, images: Tensor, canny: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Raw CAM, refined CAM, fused boundary logits, (B, C, H, W) each."""
    size = images.shape[-2:]
    features = net.backbone(images)
    cam = net.fc8(features[-1])
    grid = cam.shape[-2:]
    first, second = (features[index].detach() for index in net.middle)
    parts = [enlarge(images, grid), net.f8_3(first).relu(), net.f8_4(second).relu()]
    refined = correlate(cam, net.f9(torch.cat(parts, 1)))
    logits = enlarge(net.edge_layer([features[index] for index in net.boundary_sources]), size)
    fused = net.fuse_canny_edge(torch.cat([logits, canny.expand_as(logits)], 1))
    return enlarge(cam, size), enlarge(refined, size), fused


def correlate(cam: Tensor, features: Tensor) -> Tensor:
    with torch.no_grad():
        values = cam.relu()
        values = (values - 1e-5).relu() / (values.amax((2, 3), keepdim=True) + 1e-5)
        strongest = values[:, 1:].amax(1, keepdim=True)
        values[:, :1] = 1 - strongest
        values[:, 1:][values[:, 1:] < strongest] = 0
    flat = features.flatten(2)
    flat = flat / (flat.norm(dim=1, keepdim=True) + 1e-5)
    weights = (flat.transpose(1, 2) @ flat).relu()
    weights = weights / (weights.sum(1, keepdim=True) + 1e-5)
    return (values.flatten(2) @ weights).view_as(cam)


def losses(
    outputs: tuple[tuple[Tensor, ...], ...], labels: Tensor, boundaries: Tensor
) -> Mapping[str, Tensor]:
    """The six terms of two views; labels (B, C - 1), boundaries (B, C, H, W) in [0, 1]."""
    mask = F.pad(labels, (1, 0), value=1.0)[:, :, None, None]
    (cam_1, refined_1, _), (cam_2, refined_2, _) = outputs
    size = cam_2.shape[-2:]
    terms = {
        "class": _mean(
            F.multilabel_soft_margin_loss(cam.mean((2, 3))[:, 1:], labels) for cam, _, _ in outputs
        ),
        "min_pool": _mean(_min_pool(refined * mask) for _, refined, _ in outputs),
    }
    framed = [enlarge(_normalized(cam_1), size) * mask, _normalized(cam_2) * mask]
    framed_refined = [enlarge(_normalized(refined_1), size) * mask, _normalized(refined_2) * mask]
    terms["equivariance"] = (framed[0][:, 1:] - framed[1][:, 1:]).abs().mean()
    target_1, target_2 = (_target(cam) for cam in framed)
    terms["cross"] = _hardest(target_2 - framed_refined[0]) + _hardest(target_1 - framed_refined[1])
    shrunk = (boundaries, enlarge(boundaries, size))
    terms["boundary"] = 0.01 * _mean(
        F.binary_cross_entropy_with_logits(fused, given * mask)
        for (_, _, fused), given in zip(outputs, shrunk, strict=True)
    )
    terms["smoothness"] = _mean(
        _smoothness(cam, given, mask) for (cam, _, _), given in zip(outputs, shrunk, strict=True)
    )
    return terms


def _mean(values: Any) -> Tensor:
    return torch.stack(list(values)).mean()


def _normalized(maps: Tensor) -> Tensor:
    maps = maps.relu()
    low, high = maps.amin((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True)
    return (maps - low - 1e-5).relu() / (high - low + 1e-5)


def _min_pool(refined: Tensor) -> Tensor:
    strongest = refined[:, 1:].amax(1).flatten(1)
    count = strongest.shape[1] // 4
    return strongest.topk(count, largest=False).values.relu().sum() / (count * len(strongest))


def _target(cam: Tensor) -> Tensor:
    cam = cam.detach().clone()
    strongest = cam[:, 1:].amax(1, keepdim=True)
    cam[:, :1] = 1 - strongest
    cam[:, 1:][cam[:, 1:] < strongest] = 0
    return cam


def _hardest(difference: Tensor) -> Tensor:
    flat = difference.abs().flatten(1)
    return flat.topk(int(0.2 * flat.shape[1])).values.mean()


def _smoothness(cam: Tensor, boundaries: Tensor, mask: Tensor) -> Tensor:
    sobel = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]], device=cam.device)
    laplacian = torch.full_like(sobel, -1.0)
    laplacian[1, 1] = 8
    probability, weight = cam.sigmoid(), torch.exp(-10 * boundaries)

    def change(kernel: Tensor) -> Tensor:
        kernels = kernel.expand(cam.shape[1], 1, 3, 3)
        filtered = F.conv2d(probability, kernels, padding=1, groups=cam.shape[1])
        return torch.sqrt((filtered.abs() * weight) ** 2 + 0.001**2)

    first = ((change(sobel) + change(sobel.T)) * mask).mean()
    return 10 * first + (change(laplacian) * mask).mean()


def optimizer(net: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        [parameter for parameter in net.parameters() if parameter.requires_grad],
        lr=1e-4,
        momentum=0.9,
        weight_decay=5e-4,
    )
