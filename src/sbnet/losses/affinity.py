"""Loss of AffinityNet (Ahn & Kwak, CVPR 2018, section 3.2.2)."""

from __future__ import annotations

import torch
from torch import Tensor

EPSILON = 1e-5


def affinity(affinity: Tensor, background: Tensor, foreground: Tensor, negative: Tensor) -> Tensor:
    """Scalar loss of affinities (P, n) or (B, P, n) in (0, 1] and the masks of `ops.pair_labels`, of the same
    shape.

    Cross entropy averaged over background pairs, foreground pairs and negative pairs (different classes),
    each over the whole batch; weights 1/4, 1/4, 1/2. A kind without pairs adds 0.
    """
    if affinity.dtype in (torch.float16, torch.bfloat16):
        affinity = affinity.float()
    alike, different = -torch.log(affinity + EPSILON), -torch.log(1 + EPSILON - affinity)
    parts = ((0.25, alike, background), (0.25, alike, foreground), (0.5, different, negative))
    total = affinity.new_zeros(())
    for weight, cost, mask in parts:
        chosen = torch.as_tensor(mask, device=affinity.device).to(affinity.dtype)
        total = total + weight * (cost * chosen).sum() / (chosen.sum() + EPSILON)
    return total
