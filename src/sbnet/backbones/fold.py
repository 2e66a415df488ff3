"""Batch norm as part of the convolution before it: one pass over the features less."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from sbnet.backbones.base import Backbone

PROBE = 128  # pixels of the image that shows what follows what


@torch.no_grad()
def fold_batch_norm(backbone: nn.Module) -> None:
    """Fold every batch norm in eval mode that alone reads a convolution, in place: equal features up to rounding.

    backbone takes images (B, 3, H, W). A batch norm that something else comes before, such as
    the sum of a pre-activation block, stays. The weights no longer fit the names of the network as it was trained.
    """
    for convolution, norm in _pairs(backbone):
        scale, shift = _scale_and_shift(convolution, norm)
        convolution.weight.mul_(scale)
        convolution.bias = nn.Parameter(shift, requires_grad=False)
        _replace(backbone, norm, _after(norm))


@contextmanager
def batch_norm_fused(network: nn.Module) -> Iterator[None]:
    """Within it, what `fold_batch_norm` would fold in the network's backbones is one convolution, for training.

    Kernels are scaled again in every pass, through which the gradient reaches them, frozen ones once: on entering they
    have the values that they are to have. Parameters, buffers, their names and values stay as they are. A batch norm
    that is trained itself stays.
    """
    backbones = [module for module in network.modules() if isinstance(module, Backbone)]
    changed: list[nn.Module] = []
    try:
        for convolution, norm in (pair for backbone in backbones for pair in _pairs(backbone)):
            if not any(parameter.requires_grad for parameter in norm.parameters()):
                changed += [convolution, norm]
                convolution.forward = _scaled(convolution, norm)  # type: ignore[method-assign, assignment]
                norm.forward = _after(norm).forward
        yield
    finally:
        for module in changed:
            del module.forward


@torch.no_grad()
def _scale_and_shift(convolution: nn.Conv2d, norm: Any) -> tuple[Tensor, Tensor]:
    """What the kernel is multiplied with (O, 1, 1, 1), and the bias (O,), so that the batch norm is in them."""
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    shift = norm.bias - norm.running_mean * scale
    if convolution.bias is not None:
        shift += convolution.bias * scale
    return scale.view(-1, 1, 1, 1), shift


def _scaled(convolution: nn.Conv2d, norm: Any) -> Callable[[Tensor], Tensor]:
    """What stands in for `convolution.forward`: the same (timm's pad by themselves), with scaled kernel and bias."""
    forward, stored = convolution.forward, convolution._parameters
    scale, shift = _scale_and_shift(convolution, norm)
    once = None if convolution.weight.requires_grad else convolution.weight * scale

    def scaled(features: Tensor) -> Tensor:
        kept = stored.copy()
        weight = convolution.weight * scale if once is None else once
        stored.update(weight=weight, bias=shift)  # type: ignore[call-overload]
        try:
            return forward(features)
        finally:
            stored.update(kept)

    return scaled


@torch.no_grad()
def _pairs(backbone: nn.Module) -> list[tuple[nn.Conv2d, Any]]:
    """Convolutions whose output a batch norm reads and nothing else, with that batch norm."""
    image = next(backbone.parameters()).new_zeros(1, 3, PROBE, PROBE)
    drawn = (
        [image.device] if image.is_cuda else []
    )  # in addition to the CPU's: a network in training draws its dropout
    with torch.random.fork_rng(drawn), _Readers(backbone) as seen:
        backbone(image)
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
    """What a batch norm does in addition: timm's apply the activation."""
    return nn.Sequential(norm.drop, norm.act) if hasattr(norm, "act") else nn.Identity()


def _replace(network: nn.Module, old: nn.Module, new: nn.Module) -> None:
    for parent in network.modules():
        for name, child in parent.named_children():
            if child is old:
                setattr(parent, name, new)
