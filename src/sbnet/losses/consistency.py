"""Class, min-pool, equivariance and cross loss of two views (SEAM: Wang et al., CVPR 2020, section 3).

Shapes: B images, C classes with background at 0, N present maps (see `two_views.py`), H x W view 1, h x w view 2.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from sbnet.losses.two_views import Present, TwoViews, mean, resized, without_autocast
from sbnet.ops.affinity import full_precision
from sbnet.ops.cam import max_only, normalize_min_max, with_background


@without_autocast
def consistency(views: TwoViews) -> dict[str, Tensor]:
    """{term: scalar}, at least float32: `class` and `min_pool`, means over both views; `equivariance`, the mean
    difference of the views' CAMs in the common frame, foreground only; `cross`.
    """
    present, size = views.present, views.cams[1].shape[-2:]
    cams, refined = (
        [common_frame(maps, size, present) for maps in of_views] for of_views in (views.cams, views.refined)
    )
    return {
        "class": mean([classification(view.cam, views.labels, view.size) for view in views.views]),
        "min_pool": mean([min_pool(maps, present) for maps in views.refined]),
        "equivariance": (cams[0][:, 1:] - cams[1][:, 1:]).abs().mean(),
        "cross": cross(cams, refined),
    }


def classification(cam: Tensor, labels: Tensor, size: Sequence[int]) -> Tensor:
    """Multilabel soft margin on the average of a raw CAM (B, C, h, w) enlarged to `size`, foreground only: scalar, at
    least float32. labels: (B, C - 1), 1 where the class is in the image.
    """
    with torch.autocast(cam.device.type, enabled=False):
        score = enlarged_mean(full_precision(cam), size)[:, 1:]
        return F.multilabel_soft_margin_loss(score, labels.to(score.dtype))


def enlarged_mean(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Mean of `resized(maps, size)` over the pixels, without making it: (..., h, w) -> (...)."""
    rows, columns = (_shares(old, new, maps) for old, new in zip(maps.shape[-2:], size, strict=True))
    return maps @ columns @ rows


def _shares(old: int, new: int, like: Tensor) -> Tensor:
    """(old,) what each of `old` values weighs in the mean of the `new` that they are enlarged to."""
    each = torch.eye(old, dtype=like.dtype, device=like.device)[None]
    return F.interpolate(each, size=new, mode="linear", align_corners=True)[0].mean(1)


def min_pool(refined: Tensor, present: Present) -> Tensor:
    """Foreground left in the emptiest quarter of each image: refined CAM maps (N, H, W) -> scalar.

    Per pixel the maximum over the image's classes; the mean of the H W // 4 smallest, negatives as 0.
    """
    h, w = refined.shape[-2:]
    groups = refined.split(present.per_image)
    empty = refined.new_zeros(h, w)
    strongest = [group[1:].amax(dim=0) if len(group) > 1 else empty for group in groups]
    count = max(h * w // 4, 1)
    return torch.stack(strongest).flatten(1).topk(count, largest=False, sorted=False).values.relu().mean()


def common_frame(maps: Tensor, size: Sequence[int], present: Present) -> Tensor:
    """A view's raw maps (N, H, W), normalised, at view 2's size, masked by the label: (B, C, *size)."""
    return present.spread(resized(normalize_min_max(maps), size))


def cross(cams: Sequence[Tensor], refined: Sequence[Tensor]) -> Tensor:
    """Each view's refined CAM against the other's CAM, both in the common frame (B, C, h, w): scalar.

    The CAM keeps each pixel's strongest class, has 1 - max as background and carries no gradient. The mean is
    over the largest fifth of each image's differences.
    """
    target_1, target_2 = (max_only(with_background(cam)).detach() for cam in cams)
    return _hardest(target_2 - refined[0]) + _hardest(target_1 - refined[1])


def _hardest(difference: Tensor) -> Tensor:
    flat = difference.abs().flatten(1)
    count = max(int(flat.shape[1] * 0.2), 1)
    return flat.topk(count, sorted=False).values.mean()
