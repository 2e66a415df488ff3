"""Settings of SBNet. Imports no PyTorch."""

from __future__ import annotations

from typing import Literal

from sbnet.methods.seam.settings import RefinedInferSettings, TwoViewSettings
from sbnet.settings import Count, Folder, NotNegative, Settings
from sbnet.steps.settings import CrfSettings


class BootstrapTrainSettings(TwoViewSettings):
    """Training of the network that makes the boundary labels: the same network without its boundary terms."""

    consistency: bool = True
    """Train with SEAM's terms; otherwise with the class loss alone."""


class SBNetTrainSettings(TwoViewSettings):
    """SBNet's training: SEAM's terms, boundary and smoothness."""

    boundary_weight: NotNegative = 0.01
    """Weight of the boundary loss."""
    smoothness_weight: NotNegative = 1.0
    """Weight of the smoothness loss, 10 x first-order + second-order."""
    boundary_labels: Literal["seeds", "masks"] = "seeds"
    """Labels of the bootstrap from which boundaries are made: `seeds`, with no boundaries next to unknown pixels, or CRF
    `masks`, without unknown pixels: more boundaries, more of them wrong."""
    boundary_maker: Literal["change", "window"] = "change"
    """Boundaries where labels `change`, or by class shares in a 13 x 13 `window` (BES)."""
    boundary_width: Count = 3
    """Pixels on both sides of a label change that count as boundary."""
    boundaries: Folder = ""
    """A folder of label PNGs that replace the bootstrap's."""
    canny: Literal["image", "normalized"] = "image"
    """Edges for the boundary head: of the `image`, or of the `normalized` image cast to bytes that wrap: noise, but as in
    the published code (`reference: true` sets it)."""


class SBNetInferSettings(RefinedInferSettings):
    boundaries: bool = False
    """Keep the predicted boundaries of every image, not only of those in the report. Costs one more pass."""


class BootstrapSettings(Settings):
    train: BootstrapTrainSettings = BootstrapTrainSettings()
    """Training of the bootstrap network."""
    crf: CrfSettings = CrfSettings()
    """CRF over its maps, which makes the boundary labels."""


class SBNetSettings(Settings):
    bootstrap: BootstrapSettings = BootstrapSettings()
    """Sub-steps that make boundary labels; skipped if `train.boundaries` is set."""
    train: SBNetTrainSettings = SBNetTrainSettings()
    """Training of the CAM network with its boundary branch."""
    infer: SBNetInferSettings = SBNetInferSettings()
    """CAM inference on the training images, also for the bootstrap."""
