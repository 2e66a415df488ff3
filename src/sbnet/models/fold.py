"""Batch norm folded into the convolution before it: one pass over the features less, at inference."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

PROBE = 128  # pixels of the image that shows what follows what


@torch.no_grad()
def fold_batch_norm(backbone: nn.Module) -> None:
    """Fold every batch norm in eval mode that alone reads a convolution, in place: equal features up to rounding.

    backbone takes images (B, 3, H, W), on the CPU, in float32. A batch norm that something else comes before, such as
    the sum of a pre-activation block, stays. The weights no longer fit the names of the network as it was trained.
    """
    for convolution, norm in _pairs(backbone):
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        shift = norm.bias - norm.running_mean * scale
        if convolution.bias is not None:
            shift += convolution.bias * scale
        convolution.weight.mul_(scale.view(-1, 1, 1, 1))
        convolution.bias = nn.Parameter(shift, requires_grad=False)
        _replace(backbone, norm, _after(norm))


def _pairs(backbone: nn.Module) -> list[tuple[nn.Conv2d, Any]]:
    """Convolutions whose output a batch norm reads and nothing else, with that batch norm."""
    with _Readers(backbone) as seen:
        backbone(torch.zeros(1, 3, PROBE, PROBE))
    found = []
    for output, convolution in seen.outputs:
        readers = seen.readers[id(output)]
        if len(readers) == 1 and isinstance(readers[0], nn.modules.batchnorm._BatchNorm):
            found.append((convolution, readers[0]))
    return found


class _Readers(TorchFunctionMode):
    """outputs: of every convolution, in order. readers: of each of them, the batch norm, or None for anything else."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self._owners = {
            id(module.weight): module
            for module in backbone.modules()
            if isinstance(module, (nn.Conv2d, nn.modules.batchnorm._BatchNorm)) and module.weight is not None
        }
        self.outputs: list[tuple[Tensor, nn.Conv2d]] = []
        self.readers: defaultdict[int, list[nn.Module | None]] = defaultdict(list)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        result = func(*args, **(kwargs or {}))
        if any(
            isinstance(value, Tensor) for value in tree_leaves(result)
        ):  # a look at its size is no reading
            owners = [self._owners[id(value)] for value in given if id(value) in self._owners]
            norm = owners[0] if owners and not isinstance(owners[0], nn.Conv2d) else None
            for value in given:
                self.readers[id(value)].append(norm)
            if owners and isinstance(owners[0], nn.Conv2d):
                self.outputs.append((result, owners[0]))
                self.readers[id(result)] = []  # kept alive from here on, it shares its id with none
        return result


def _after(norm: Any) -> nn.Module:
    """What a batch norm does besides: timm's apply the activation."""
    return nn.Sequential(norm.drop, norm.act) if hasattr(norm, "act") else nn.Identity()


def _replace(network: nn.Module, old: nn.Module, new: nn.Module) -> None:
    for parent in network.modules():
        for name, child in parent.named_children():
            if child is old:
                setattr(parent, name, new)
