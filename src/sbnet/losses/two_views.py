"""What the losses on two views of a batch share.

Shapes: B images, C classes with background at 0, N present maps (see `present.py`), H x W view 1; view 2 is view 1
shrunk to h x w.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from sbnet.losses.present import Present

Result = TypeVar("Result")


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
        """An object with these attributes (`size` is optional), or a tuple of the first three."""
        if hasattr(output, "refined_cam"):
            size = getattr(output, "size", output.cam.shape[-2:])
            return View(output.cam, output.refined_cam, output.boundary_fused, size)
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
