"""Labels on the coarse grid of a network's features."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def label_grid(label: Tensor, *, stride: int, classes: int, ignore: int = 255) -> Tensor:
    """The label that most pixels of each cell have.

    label: (B, H, W) uint8, ids 0..classes-1 and `ignore`. Returns (B, ceil(H/stride), ceil(W/stride)) uint8.
    Cells that hang over the border are filled up with `ignore`; `ignore` wins ties with nothing: the smallest
    class id does. AffinityNet (Ahn and Kwak 2018, section 3.3) pools CRF marginals and takes their argmax; pixels
    that vote need only the label PNG, some 20 kB an image, in place of the marginals.
    """
    height, width = label.shape[-2:]
    padded = functional.pad(label, (0, -width % stride, 0, -height % stride), value=ignore)
    ids = torch.where(padded == ignore, classes, padded.long())
    rows, columns = padded.shape[-2] // stride, padded.shape[-1] // stride
    cells = ids.reshape(-1, rows, stride, columns, stride).permute(0, 1, 3, 2, 4).reshape(-1, stride * stride)
    votes = torch.zeros(len(cells), classes + 1, dtype=torch.int32, device=label.device)
    votes.scatter_add_(1, cells, torch.ones_like(cells, dtype=torch.int32))
    winner = votes.argmax(1).reshape(-1, rows, columns)
    return torch.where(winner == classes, ignore, winner).to(torch.uint8)
