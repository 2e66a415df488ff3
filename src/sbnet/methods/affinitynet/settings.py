"""Settings of AffinityNet. Imports no PyTorch."""

from __future__ import annotations

from sbnet.settings import Positive, Settings
from sbnet.steps.affinity import AffinityTrainSettings, PropagateSettings


class AffinityNetPropagateSettings(PropagateSettings):
    background_alpha: Positive = 16.0
    """Background is (1 - highest score)^alpha, and is propagated with the classes."""


class AffinityNetSettings(Settings):
    train: AffinityTrainSettings = AffinityTrainSettings()
    """Training of the affinities."""
    propagate: AffinityNetPropagateSettings = AffinityNetPropagateSettings()
    """Propagation of the score maps."""
