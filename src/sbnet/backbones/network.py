"""What all our networks share: a backbone with frozen batch norm, options, parameter groups."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self, get_type_hints

from torch import nn

from sbnet.backbones.base import Backbone

NamedParameters = list[tuple[str, nn.Parameter]]


class Network(nn.Module):
    """A backbone with heads.

    Options are the keyword-only arguments of a subclass's constructor; their types have the bounds, as in
    `gain: Annotated[float, Field(ge=0, le=10)] = 1.0`. `family`: its name before the dash, as in `FAMILY-BACKBONE`.
    `own_defaults`: defaults of options over backbones that are not `published`; the constructor has the published
    values. `name` and `options` are what `build()` needs to make the network again.

    Batch norms of the backbone, and others that are frozen, stay in eval mode with fixed parameters whatever `train()`
    says: batches are small and crops are partly empty, so their statistics are worse than ImageNet's.

    A constructor is also called under `torch.device("meta")`, where tensors have no values, to compare a file with the
    network before memory is taken for it. A plug-in's may compute with values (`item`, `numpy`) all the same: its
    network is then made with memory.
    """

    family: ClassVar[str] = ""
    own_defaults: ClassVar[Mapping[str, Any]] = {}
    name: str = ""
    options: dict[str, Any]

    def __init__(self, backbone: Backbone, classes: int, new: Iterable[str]) -> None:
        """`new` names the direct children that do not come from pretraining. SBNetError as `check_backbone`."""
        self.check_backbone(backbone)
        super().__init__()
        self.backbone = backbone
        self.classes = classes
        self.normalization = backbone.normalization
        self.output_stride = backbone.strides[-1]
        self.new = frozenset(new)
        self.options = {}

    @classmethod
    def option_types(cls) -> dict[str, Any]:
        """Name -> type of every option."""
        hints = get_type_hints(cls.__init__, include_extras=True)
        parameters = inspect.signature(cls).parameters.values()
        return {one.name: hints.get(one.name, Any) for one in parameters if one.kind is one.KEYWORD_ONLY}

    @classmethod
    def check_backbone(cls, backbone: Backbone) -> None:
        """Raises SBNetError, with a remedy, for a backbone that lacks what the heads read; never looks at weights."""

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

        The published networks train them at 1, 2, 10 and 20 times the learning rate, biases without weight decay.
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
