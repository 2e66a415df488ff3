"""Dilated depthwise convolutions: PyTorch's own is the reference."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from sbnet.backbones.depthwise import DilatedDepthwise, fast_depthwise
from sbnet.backbones.timm_cnn import TimmCnn


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    ("kernel", "apart", "height", "width"),
    [(5, 2, 10, 10), (3, 2, 9, 12), (3, 4, 7, 9), (5, 3, 4, 11), (3, 2, 1, 1)],
)
def test_equals_pytorch(
    kernel: int, apart: int, height: int, width: int, layout: torch.memory_format, bias: bool
) -> None:
    generator = torch.Generator().manual_seed(0)
    own = nn.Conv2d(6, 6, kernel, padding=apart * (kernel // 2), dilation=apart, groups=6, bias=bias)
    net = nn.Sequential(nn.Conv2d(6, 6, kernel, padding=own.padding, dilation=apart, groups=6, bias=bias))
    net.load_state_dict({f"0.{name}": value for name, value in own.state_dict().items()})
    fast_depthwise(net)
    assert type(net[0]) is DilatedDepthwise
    features = torch.randn(3, 6, height, width, generator=generator).to(memory_format=layout)
    weight = torch.randn(3, 6, height, width, generator=generator)

    def both(module: nn.Module) -> tuple[Tensor, ...]:
        given = features.clone().requires_grad_()
        output = module(given)
        return (output, *torch.autograd.grad((output * weight).sum(), (given, *module.parameters())))

    for expected, got in zip(both(own), both(net), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(net(features), own(features), rtol=0, atol=0)


@pytest.mark.parametrize(
    "kept",
    [
        nn.Conv2d(6, 6, 3, padding=1, groups=6),
        nn.Conv2d(6, 12, 3, padding=2, dilation=2, groups=6),
        nn.Conv2d(6, 6, 3, padding=2, dilation=2),
        nn.Conv2d(6, 6, 3, padding=2, dilation=2, groups=6, stride=2),
        nn.Conv2d(6, 6, 3, padding=0, dilation=2, groups=6),
        nn.Conv2d(6, 6, (3, 5), padding=(2, 4), dilation=2, groups=6),
        nn.Conv2d(6, 6, 3, padding=2, dilation=2, groups=6, padding_mode="reflect"),
    ],
)
def test_leaves_other_convolutions_alone(kept: nn.Conv2d) -> None:
    net = nn.Sequential(kept)
    fast_depthwise(net)
    assert net[0] is kept


def test_backbone_keeps_its_names_and_frozen_stages() -> None:
    backbone = TimmCnn("efficientnet_lite0", stride=16, freeze=3)
    spread = {name for name, module in backbone.named_modules() if isinstance(module, DilatedDepthwise)}
    assert len(spread) == 4  # the last stages, whose stride was removed
    plain = TimmCnn("efficientnet_lite0", stride=32, freeze=3)
    assert backbone.state_dict().keys() == plain.state_dict().keys()
    assert {n for n, p in backbone.named_parameters() if p.requires_grad} == {
        n for n, p in plain.named_parameters() if p.requires_grad
    }
