"""Loss of a segmenter that answers at several scales (DeepLab v2; Chen et al., PAMI 2018)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def multi_scale_cross_entropy(
    logits_per_scale: Sequence[Tensor], label: Tensor, *, ignore: int = 255
) -> Tensor:
    """Sum over the scales of the cross entropy averaged over known pixels: scalar, 0 where all are `ignore`.

    logits_per_scale: (B, C, h_s, w_s) each. DeepLab v2 gives its scales and their maximum. label: (B, H, W)
    class ids, resized to each by the nearest pixel centre.
    """
    total = label.new_zeros((), dtype=torch.float32)
    for logits in logits_per_scale:
        resized = F.interpolate(label[:, None].float(), size=logits.shape[-2:], mode="nearest-exact")
        target = resized[:, 0].long()
        cost = F.cross_entropy(logits.float(), target, ignore_index=ignore, reduction="sum")
        total = total + cost / (target != ignore).sum().clamp(min=1)
    return total
