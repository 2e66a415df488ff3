"""Vision transformers of timm: maps of patch tokens, prefix tokens, attention."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import timm
from timm.models import is_model_in_modules
from torch import Tensor, nn
from torch.nn import functional

from sbnet.backbones.base import Backbone, Tokens, check_freeze
from sbnet.backbones.normalization import Normalization
from sbnet.backbones.timm_models import check_name, creating
from sbnet.errors import SBNetError

MODULES = ("vision_transformer", "deit", "eva")  # of timm.models: the plain transformers


def is_vit(name: str) -> bool:
    """Whether `name` is a plain vision transformer of timm's."""
    return is_model_in_modules(name, MODULES)


class TimmVit(Backbone):
    """Vision transformer `name` of timm; a feature for each block, all at the stride of the patches.

    Features and prefix tokens are normalized by the model's last layer norm, whichever block they are from. Images of
    any size are padded with zeros at right and bottom to whole patches, and position embeddings interpolated to them.

    `stride`: the patch size, if it is given. `freeze`: how many blocks get no gradient, the embeddings counting as part
    of the first. `dilate`: has to be true, as there is nothing to dilate.
    Raises SBNetError for an unknown name, other values, a model that cannot be built so, a failed download.
    """

    def __init__(
        self,
        name: str,
        *,
        stride: int | None = None,
        freeze: int = 1,
        dilate: bool = True,
        pretrained: bool = False,
    ) -> None:
        super().__init__()
        check_name(name)
        with creating(f"timm:{name} for images of any size"):
            net: Any = timm.create_model(name, pretrained=pretrained, num_classes=0, dynamic_img_size=True)
        self.net = net
        patch, depth = net.patch_embed.patch_size[0], len(net.blocks)
        if stride not in (None, patch):
            raise SBNetError(
                f"stride={stride}: timm:{name} has patches of {patch} pixels, and no other output stride; set "
                f"stride={patch}, or choose a CNN"
            )
        if not dilate:
            raise SBNetError(f"dilate=False: timm:{name} is a transformer; leave out dilate")
        net.attn_pool = None  # a head over the tokens, which nothing here calls
        self.channels = (net.embed_dim,) * depth
        self.strides = (patch,) * depth
        self.stages = tuple(sorted({max(0, depth * quarter // 4 - 1) for quarter in (1, 2, 3, 4)}))
        self.prefix = net.num_prefix_tokens
        if all(_shows_attention(block) for block in net.blocks):
            self.attention = (depth, net.blocks[0].attn.num_heads)
        self._freeze(freeze)
        config = net.pretrained_cfg
        self.normalization = Normalization(mean=tuple(config["mean"]), std=tuple(config["std"]))

    def forward(self, images: Tensor, want: Sequence[int] | None = None) -> list[Tensor]:
        return self.forward_tokens(images, want).features

    def tokens(self, size: tuple[int, int]) -> tuple[int, int]:
        patch = self.strides[0]
        return -(-size[0] // patch), -(-size[1] // patch)

    def forward_tokens(
        self, images: Tensor, want: Sequence[int] | None = None, *, attention: Sequence[int] = ()
    ) -> Tokens:
        if attention and self.attention is None:
            raise SBNetError(
                "this transformer does not show its attention; choose one of timm's vit_* or deit*"
            )
        want = range(len(self.channels)) if want is None else want
        patch, (height, width) = self.strides[0], images.shape[-2:]
        grid = self.tokens((height, width))
        padded = functional.pad(images, (0, -width % patch, 0, -height % patch))
        indices = sorted({*want, *attention})
        with _attention_kept([self.net.blocks[index].attn for index in attention]) as kept:
            found = self.net.forward_intermediates(
                padded,
                indices=indices,
                return_prefix_tokens=self.prefix > 0,
                output_fmt="NLC",
                stop_early=True,
                intermediates_only=True,
            )
        of_block = dict(zip(indices, found, strict=True))
        features, prefix = [], []
        for index in want:
            patches, first = of_block[index] if self.prefix else (of_block[index], found[0][:, :0])
            features.append(self._normalized(patches).transpose(1, 2).unflatten(2, grid))
            prefix.append(self._normalized(first))
        return Tokens(features, prefix, [kept[self.net.blocks[index].attn] for index in attention])

    def adapted(self, state: dict[str, Tensor], source: Path | str) -> dict[str, Tensor]:
        """As timm reads other files of this model (DINOv2's, MAE's, CLIP's, ...), position embeddings resized."""
        adapt = getattr(sys.modules[type(self.net).__module__], "checkpoint_filter_fn", None)
        if adapt is None:
            return state
        try:
            adapted: dict[str, Tensor] = adapt(dict(state), self.net)
        except Exception as error:  # timm's code, on a file that may hold anything
            raise SBNetError(
                f"{source}: not the weights of this backbone ({type(error).__name__}: {error}); give the file of "
                "this very model"
            ) from error
        return adapted

    def _normalized(self, tokens: Tensor) -> Tensor:
        """Models that classify the mean of their tokens have their last norm behind it."""
        normalized: Tensor = self.net.fc_norm(self.net.norm(tokens))
        return normalized

    def _freeze(self, count: int) -> None:
        check_freeze(count, len(self.net.blocks), "blocks")
        if count:
            late = {
                *self.net.blocks[count:].parameters(),
                *self.net.norm.parameters(),
                *self.net.fc_norm.parameters(),
            }
            for parameter in set(self.net.parameters()) - late:
                parameter.requires_grad_(False)


def _shows_attention(block: nn.Module) -> bool:
    attention = getattr(block, "attn", None)
    return all(hasattr(attention, name) for name in ("fused_attn", "attn_drop", "num_heads"))


@contextmanager
def _attention_kept(modules: list[Any]) -> Iterator[dict[nn.Module, Tensor]]:
    """Within it these modules compute their attention step by step: module -> (B, heads, N, N) once it has run."""
    kept: dict[nn.Module, Tensor] = {}
    fused = [module.fused_attn for module in modules]
    hooks = []
    try:
        for module in modules:

            def keep(_drop: nn.Module, given: tuple[Tensor], _output: Tensor, module: Any = module) -> None:
                kept[module] = given[0]

            hooks.append(module.attn_drop.register_forward_hook(keep))
            module.fused_attn = False
        yield kept
    finally:
        for module, before in zip(modules, fused, strict=True):
            module.fused_attn = before
        for hook in hooks:
            hook.remove()
