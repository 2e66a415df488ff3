"""The contract of backbones: features by query."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

from torch import Tensor, nn

from sbnet.backbones.normalization import Normalization
from sbnet.errors import SBNetError


class Tokens(NamedTuple):
    """What a transformer computed; P prefix tokens, N = P + rows * columns tokens, row by row.

    features: (B, channels, rows, columns) each. prefix: (B, P, channels) of the same blocks. attention: (B, heads, N, N)
    each; row i, which sums to 1, says what token i is made of.
    """

    features: list[Tensor]
    prefix: list[Tensor]
    attention: list[Tensor]


class Backbone(nn.Module):
    """Features of an image, which heads ask for instead of knowing indices.

    Shapes: B images, H x W pixels. Features are numbered from 0, shallow to deep. Grids are as large as the image
    divided by the stride, rounded up (ResNet-101's may have a row and a column more), for images of any size.

    Every backbone has
        channels, strides   one number per feature
        stages              index of the deepest feature of each stage. A stage of a CNN is what it would compute at one
                            resolution without dilation; the blocks of a transformer are four stages of equal length
        normalization       from the image's bytes to what the backbone was trained on
        published           whether the published networks have this very backbone, so that heads over it default to
                            the published options
    and answers
        deepest             index of the feature that is classified
        at(stride)          index of the deepest feature at a stride
        last(count)         indices of the deepest features of the last stages

    Transformers also have
        prefix              number of tokens before the patches' (class and register tokens); 0 elsewhere
        attention           (blocks, heads); None where attention cannot be asked for
    and answer
        tokens(size)        the grid of patches of an image
        forward_tokens(...) features with prefix tokens and attention

    A head asks in its constructor and keeps the indices. Where a backbone lacks something the query raises SBNetError
    in words; `Network.check_backbone` asks before anything is built. A minimal CNN:

        class Tiny(Backbone):
            channels, strides, stages = (8, 16), (2, 4), (0, 1)
            normalization = IMAGENET

            def forward(self, images, want=None):
                first = self.conv1(images)
                features = [first, self.conv2(first)]
                return features if want is None else [features[index] for index in want]
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    stages: tuple[int, ...]
    normalization: Normalization
    published: ClassVar[bool] = False
    prefix: int = 0
    attention: tuple[int, int] | None = None

    def forward(self, images: Tensor, want: Sequence[int] | None = None) -> list[Tensor]:
        """(B, 3, H, W) normalized -> one (B, channels[i], ~H / strides[i], ~W / strides[i]) per index of `want`, in its
        order; all features by default. Nothing deeper than the deepest of `want` is computed.
        """
        raise NotImplementedError

    @property
    def deepest(self) -> int:
        return len(self.channels) - 1

    def at(self, stride: int) -> int:
        """Index of the deepest feature at that stride. SBNetError where there is none."""
        if stride not in self.strides:
            raise SBNetError(f"no feature at stride {stride}: this backbone has strides {self._strides()}")
        return max(index for index, one in enumerate(self.strides) if one == stride)

    def last(self, count: int) -> tuple[int, ...]:
        """Indices of the deepest features of the last `count` stages, shallow to deep. SBNetError for fewer stages."""
        if len(self.stages) < count:
            raise SBNetError(
                f"{count} stages are required: this backbone has {len(self.stages)}, at strides {self._strides()}"
            )
        return self.stages[-count:]

    def tokens(self, size: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of patches of an image of height and width `size`. SBNetError where there are no tokens."""
        raise SBNetError(
            "this backbone is not a transformer: it has no tokens; choose one, such as timm:vit_small_patch16_224"
        )

    def forward_tokens(
        self, images: Tensor, want: Sequence[int] | None = None, *, attention: Sequence[int] = ()
    ) -> Tokens:
        """As `forward`, with the prefix tokens, and the attention of the blocks `attention`, numbered as the features.

        Attention is computed for these blocks alone; gradients flow through it. SBNetError where there are no tokens.
        """
        self.tokens((images.shape[2], images.shape[3]))  # raises where there are none
        raise NotImplementedError

    def adapted(self, state: dict[str, Tensor], source: Path | str) -> dict[str, Tensor]:
        """Weights of another origin under the backbone's names and in its shapes; by default unchanged. SBNetError,
        naming `source`, where they cannot be read so.
        """
        return state

    def _strides(self) -> str:
        return ", ".join(map(str, sorted(set(self.strides))))


def check_freeze(freeze: int, parts: int, name: str) -> None:
    """Raises SBNetError for more parts to freeze than a backbone has, or fewer than none."""
    if not 0 <= freeze <= parts:
        raise SBNetError(f"freeze={freeze}: this backbone has {parts} {name}; give 0 to {parts}")
