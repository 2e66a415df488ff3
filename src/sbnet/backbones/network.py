"""What all our networks share: the backbone's interface, frozen batch norm, parameter groups."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

from torch import Tensor, nn

from sbnet.backbones.normalization import Normalization

NamedParameters = list[tuple[str, nn.Parameter]]


class Backbone(nn.Module):
    """Features of an image, shallow to deep.

    Subclasses set `channels` and `strides` (one number per feature), `normalization`, and the indexes of the
    features that heads read: `middle` (two; pixel correlation, affinity), `boundary` (four) and `pyramid` (four of the
    strides 4, 8, 16 and 32, of which the output stride cuts off the largest). The deepest feature, index -1, is the one
    that is classified.
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    middle: tuple[int, int]
    boundary: tuple[int, int, int, int]
    pyramid: tuple[int, int, int, int]
    normalization: Normalization

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W) normalised -> one (B, channels[i], ~H / strides[i], ~W / strides[i]) per feature."""
        raise NotImplementedError


class Network(nn.Module):
    """A backbone with heads.

    Batch norms of the backbone, and others that are frozen, stay in eval mode with fixed parameters whatever `train()`
    says: batches are small and crops are partly empty, so their statistics are worse than ImageNet's. `name` and
    `options` are what `build()` needs to make the network again.
    """

    name: str = ""
    options: dict[str, Any]

    def __init__(self, backbone: Backbone, classes: int, new: Iterable[str]) -> None:
        """`new` names the direct children that do not come from pretraining."""
        super().__init__()
        self.backbone = backbone
        self.classes = classes
        self.normalization = backbone.normalization
        self.output_stride = backbone.strides[-1]
        self.new = frozenset(new)
        self.options = {}

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        of_backbone = set(self.backbone.modules())
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm) and (
                module in of_backbone or not module.weight.requires_grad
            ):
                module.eval()
        return self

    def parameter_groups(self) -> list[NamedParameters]:
        """Trainable (name, parameter) pairs: pretrained weights, pretrained biases, new weights, new biases.

        The reference trains them at 1, 2, 10 and 20 times the learning rate, biases without weight decay.
        """
        groups: list[NamedParameters] = [[], [], [], []]
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                new = name.split(".")[0] in self.new
                groups[2 * new + name.endswith("bias")].append((name, parameter))
        return groups


def freeze_batch_norm(module: nn.Module) -> None:
    """Eval mode and no gradient for every batch norm inside `module`."""
    for child in module.modules():
        if isinstance(child, nn.modules.batchnorm._BatchNorm):
            child.eval().requires_grad_(False)
