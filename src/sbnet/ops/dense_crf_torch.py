"""The dense CRF in PyTorch, on any device: what `DenseCRF` does for tensors that are not on the CPU.

B images of one size, A sets of probabilities, K labels, N = H W pixels. All images, sets and labels go side by side.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sbnet.ops.permutohedral import PermutohedralLattice


class TorchMeanField:
    """Mean field over the lattices of images (B, H, W, 3) uint8, on their device. Settings as of `DenseCRF`."""

    def __init__(
        self, images: Tensor, *, gaussian: tuple[float, float], bilateral: tuple[float, float, float]
    ) -> None:
        batch, height, width, _ = images.shape
        device = images.device
        rows, columns = torch.arange(height, device=device), torch.arange(width, device=device)
        position = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)
        position = position.float().view(1, -1, 2).expand(batch, -1, -1)
        colour = images.reshape(batch, -1, 3).float()
        size = (width, height)
        sxy, srgb, weight = bilateral
        # One after the other: the first is built before the second's features take memory.
        # Built before the features of the next one take memory.
        smooth = PermutohedralLattice(_over(position, gaussian[0]), bounds=_bounds(size, gaussian[0]))
        features = torch.cat([_over(position, sxy), _over(colour, srgb)], dim=-1)
        bounds = [*_bounds(size, sxy), *_bounds((255, 255, 255), srgb)]
        self._kernels = [(gaussian[1], smooth), (weight, PermutohedralLattice(features, bounds=bounds))]

    def __call__(self, sets: Tensor, *, iterations: int, negligible: float) -> Tensor:
        """Marginals of sets (B, A, K, N) float32, the same shape; a label that is negligible in an image is 0 there."""
        clipped = sets.clamp(1e-5, 1)
        used = _used(clipped, negligible)
        kept = used.any(0)
        log_unary = clipped[:, :, kept].log_().masked_fill_(~used[:, None, kept, None], -torch.inf)
        log_unary = log_unary.permute(0, 3, 1, 2).contiguous()  # (B, N, A, K): what a pixel has lies together
        marginals = log_unary.softmax(-1)
        for _ in range(iterations):
            logits = log_unary.clone()
            for weight, lattice in self._kernels:
                filtered = lattice.filter(marginals.flatten(2).flatten(0, 1))
                logits.add_(filtered.view_as(logits), alpha=weight)
            marginals = logits.softmax(-1)
        result = torch.zeros_like(sets)
        result[:, :, kept] = marginals.permute(0, 2, 3, 1)
        return result


def _over(values: Tensor, deviation: float) -> Tensor:
    """values / deviation, rounded as on the CPU: by a plain number, CUDA multiplies with its rounded reciprocal."""
    return values / torch.tensor(deviation, dtype=torch.float32, device=values.device)


def _bounds(largest: tuple[int, ...], deviation: float) -> list[float]:
    return [value / deviation for value in largest]


def _used(clipped: Tensor, negligible: float) -> Tensor:
    """Which labels have a share that matters, (B, K) bool; of hundreds of labels that are all alike, all."""
    share = (clipped / clipped.sum(2, keepdim=True)).amax((1, 3)).double()
    return share >= share.amax(1, keepdim=True).clamp(max=negligible)
