"""What the losses on two views of a batch share: the views, and the maps of the classes that are in their image.

Shapes: B images, C classes with background at 0, H x W view 1; view 2 is view 1 shrunk to h x w. N present maps: one for
each (image, class) pair that is present, background included. N is two or three an image instead of C = 21, so that the
losses cost an eighth.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from sbnet.ops.affinity import full_precision

Result = TypeVar("Result")


@dataclass(frozen=True)
class Present:
    """Sorted by image, each image's background first. Made by `Present.of`."""

    index: Tensor  # (N,) positions in the flattened (B, C)
    per_image: tuple[int, ...]  # B counts, which sum to N
    classes: int

    @staticmethod
    def of(labels: Tensor) -> Present:
        """From image labels (B, C - 1), 0 or 1; every image also has background."""
        label = F.pad(labels, (1, 0), value=1.0)
        counts = tuple((label != 0).sum(dim=1).tolist())
        return Present(label.flatten().nonzero()[:, 0], counts, label.shape[1])

    def select(self, maps: Tensor) -> Tensor:
        """(B, C, H, W) -> the present maps (N, H, W)."""
        return full_precision(maps.flatten(0, 1).index_select(0, self.index))

    def spread(self, maps: Tensor) -> Tensor:
        """(N, H, W) -> (B, C, H, W), 0 where absent."""
        images, size = len(self.per_image), maps.shape[-2:]
        dense = maps.new_zeros(images * self.classes, *size)
        return dense.index_copy(0, self.index, maps).reshape(images, self.classes, *size)

    def elements(self, maps: Tensor) -> int:
        """B C H W: what a mean over all classes divides by, for maps (N, H, W)."""
        return len(self.per_image) * self.classes * maps.shape[-2] * maps.shape[-1]


class View(NamedTuple):
    """What the network gave for one view, raw: (B, C, H, W) each. CAMs may still be on the feature grid, to be enlarged
    to `size`, (H, W).
    """

    cam: Tensor
    refined_cam: Tensor
    boundary_fused: Tensor | None
    size: Sequence[int]

    @staticmethod
    def of(output: Any) -> View:
        """An object with these attributes (the last two are optional), or a tuple of the first three."""
        if hasattr(output, "refined_cam"):
            size = getattr(output, "size", output.cam.shape[-2:])
            return View(output.cam, output.refined_cam, getattr(output, "boundary_fused", None), size)
        cam, refined_cam, boundary_fused = output
        return View(cam, refined_cam, boundary_fused, cam.shape[-2:])


class TwoViews:
    """Both views with their labels. Each property is made when a loss first asks for it, and kept.

    full, small: the network's outputs for view 1 and view 2, as `View.of` takes them. Of CAMs on the feature grid only
    the maps of the image's classes are enlarged.
    labels: (B, C - 1), 1 where the class is in the image. boundaries: (B, C, H, W) in [0, 1], for the losses
    `boundary` and `smoothness`.
    """

    def __init__(self, full: Any, small: Any, labels: Tensor, boundaries: Tensor | None = None) -> None:
        self.views = (View.of(full), View.of(small))
        self.labels = labels
        self._boundaries = boundaries

    @cached_property
    def present(self) -> Present:
        return Present.of(self.labels)

    @cached_property
    def cams(self) -> list[Tensor]:
        """The present raw CAMs of each view, at the view's size: (N, H, W) and (N, h, w)."""
        return [resized(self.present.select(view.cam), view.size) for view in self.views]

    @cached_property
    def refined(self) -> list[Tensor]:
        """Likewise the refined CAMs."""
        return [resized(self.present.select(view.refined_cam), view.size) for view in self.views]

    @cached_property
    def boundaries(self) -> list[Tensor]:
        """Likewise the boundary maps. Raises ValueError where there are none."""
        if self._boundaries is None:
            raise ValueError("boundaries is None: 'boundary' and 'smoothness' need boundary maps")
        given = self.present.select(self._boundaries).to(self.cams[0].dtype)
        return [resized(given, maps.shape[-2:]) for maps in self.cams]


def without_autocast(loss: Callable[[TwoViews], Result]) -> Callable[[TwoViews], Result]:
    """The loss of two views in at least float32."""

    @functools.wraps(loss)
    def inside(views: TwoViews) -> Result:
        with torch.autocast(views.labels.device.type, enabled=False):
            return loss(views)

    return inside


def resized(maps: Tensor, size: Sequence[int]) -> Tensor:
    """(N, h, w) -> (N, *size), bilinear with aligned corners: how networks enlarge CAMs, and view 1 became view 2."""
    if tuple(maps.shape[-2:]) == tuple(size):
        return maps
    return F.interpolate(maps[:, None], size=tuple(size), mode="bilinear", align_corners=True)[:, 0]


def mean(values: Sequence[Tensor]) -> Tensor:
    """Of scalars, one a view."""
    return torch.stack(list(values)).mean()
