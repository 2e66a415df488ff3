"""The loss of the CAM network on two views: SEAM's four terms, boundary and smoothness (SBNet, IJCNN 2021).

Shapes: B images, C classes with background at 0, H x W pixels of view 1; view 2 is view 1 shrunk to h x w.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sbnet.losses.boundary import boundary, smoothness
from sbnet.losses.present import Present
from sbnet.losses.consistency import classification, common_frame, cross, equivariance, min_pool, resized

TERMS = ("class", "min_pool", "equivariance", "cross", "boundary", "smoothness")


class View(NamedTuple):
    """What the network gave for one view, raw: (B, C, H, W) each, but for CAMs that are still to be enlarged to `size`,
    (H, W)."""

    cam: Tensor
    refined_cam: Tensor
    boundary_fused: Tensor | None
    size: tuple[int, ...]


def structure_aware(
    full: Any,
    small: Any,
    labels: Tensor,
    boundaries: Tensor | None = None,
    *,
    terms: Collection[str] = TERMS,
    boundary_weight: float = 0.01,
    smoothness_weight: float = 1.0,
) -> dict[str, Tensor]:
    """{term: weighted scalar} in the order of `TERMS`; their sum is the loss. At least float32 inside.

    full, small: raw outputs for view 1 and view 2: an object with `cam`, `refined_cam`, `boundary_fused`, `size`, or
    a tuple of the first three. cam and refined_cam (B, C, H, W), enlarged to the view, or (B, C, h, w) where `size`
    says (H, W): then only the maps of the classes in the photo are enlarged. boundary_fused, logits (B, C, H, W), may
    be None without the term "boundary". `small` may be None where `terms` is {"class"}.
    labels: (B, C - 1), 1 where the class is in the image. boundaries: (B, C, H, W) in [0, 1], for the last
    two terms. terms: {"class"} is a plain CAM, the first four of `TERMS` are SEAM, all six SBNet.
    """
    views = [_view(view) for view in (full, small) if view is not None]
    _check(views, boundaries, terms)
    with torch.autocast(labels.device.type, enabled=False):
        losses = {"class": _mean([classification(view.cam, labels, view.size) for view in views])}
        if set(terms) != {"class"}:
            present = Present.of(labels)
            cams = [resized(present.select(view.cam), view.size) for view in views]
            losses |= _seam_terms(views, cams, present, terms)
            if boundaries is not None:
                scales = {"boundary": boundary_weight, "smoothness": smoothness_weight}
                unscaled = _boundary_terms(views, cams, present, boundaries, terms)
                losses |= {term: scales[term] * value for term, value in unscaled.items()}
    return {term: losses[term] for term in TERMS if term in terms}


def _seam_terms(
    views: list[View], cams: list[Tensor], present: Present, terms: Collection[str]
) -> dict[str, Tensor]:
    """Min-pool, equivariance and cross, as far as they are in `terms`; cams: present maps of each view."""
    losses = {}
    size = cams[-1].shape[-2:]
    needs_refined = "min_pool" in terms or "cross" in terms
    refined = [resized(present.select(view.refined_cam), view.size) for view in views if needs_refined]
    if "min_pool" in terms:
        losses["min_pool"] = _mean([min_pool(maps, present) for maps in refined])
    if "equivariance" in terms or "cross" in terms:
        framed = [common_frame(maps, size, present) for maps in cams]
        if "equivariance" in terms:
            losses["equivariance"] = equivariance(framed[0], framed[1])
        if "cross" in terms:
            framed_refined = [common_frame(maps, size, present) for maps in refined]
            losses["cross"] = cross((framed[0], framed[1]), (framed_refined[0], framed_refined[1]))
    return losses


def _boundary_terms(
    views: list[View], cams: list[Tensor], present: Present, boundaries: Tensor, terms: Collection[str]
) -> dict[str, Tensor]:
    """Boundary and smoothness without their weights, as far as they are in `terms`."""
    losses = {}
    given = present.select(boundaries).to(cams[0].dtype)
    targets = [resized(given, maps.shape[-2:]) for maps in cams]
    if "boundary" in terms:
        logits = [view.boundary_fused for view in views if view.boundary_fused is not None]
        losses["boundary"] = _mean(
            [boundary(fused, target, present) for fused, target in zip(logits, targets, strict=True)]
        )
    if "smoothness" in terms:
        losses["smoothness"] = _mean(
            [smoothness(maps, target, present) for maps, target in zip(cams, targets, strict=True)]
        )
    return losses


def _mean(values: list[Tensor]) -> Tensor:
    return torch.stack(values).mean()


def _view(output: Any) -> View:
    """A network's result or a plain tuple as a `View`."""
    if hasattr(output, "refined_cam"):
        size = getattr(output, "size", output.cam.shape[-2:])
        return View(output.cam, output.refined_cam, output.boundary_fused, size)
    cam, refined_cam, boundary_fused = output
    return View(cam, refined_cam, boundary_fused, cam.shape[-2:])


def _check(views: list[View], boundaries: Tensor | None, terms: Collection[str]) -> None:
    if unknown := set(terms) - set(TERMS):
        raise ValueError(f"terms: {sorted(unknown)} unknown; there are {', '.join(TERMS)}")
    if len(views) < 2 and set(terms) != {"class"}:
        raise ValueError("small is None: every term but 'class' compares two views")
    if boundaries is None and {"boundary", "smoothness"} & set(terms):
        raise ValueError("boundaries is None: 'boundary' and 'smoothness' need boundary maps")
    if "boundary" in terms and any(view.boundary_fused is None for view in views):
        raise ValueError("boundary_fused is None: run the network with its boundary head")
