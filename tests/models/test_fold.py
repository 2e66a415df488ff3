"""Folded batch norms: equal features, and nothing folded that something else reads."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from sbnet.models import build
from sbnet.models.fold import fold_batch_norm


def norms(network: nn.Module) -> list[nn.Module]:
    return [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]


def spread(network: nn.Module) -> None:
    """Batch norms that do something."""
    torch.manual_seed(0)
    for norm in norms(network):
        norm.running_mean.normal_(0, 0.1)
        norm.running_var.uniform_(0.5, 2)
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, 0, 0.1)


@pytest.mark.parametrize(
    ("name", "left"), [("sbnet-lite0", 0), ("deeplabv2-resnet101", 0), ("sbnet-resnet38", 17)]
)
@torch.no_grad()
def test_the_features_stay(name: str, left: int) -> None:
    """ResNet-38 adds before most of its batch norms; those stay."""
    backbone = build(name, 4, weights="none").eval().backbone
    spread(backbone)
    images = torch.randn(1, 3, 64, 70)
    expected = backbone(images)
    fold_batch_norm(backbone)
    assert len(norms(backbone)) == left
    for found, feature in zip(backbone(images), expected, strict=True):
        assert (found - feature).abs().max() < 1e-5 * (feature.max() - feature.min())


class ReadTwice(nn.Module):
    """The first convolution is read by a batch norm and a sum; the second, with a bias, by a batch norm alone."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.second, self.last = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)

    def forward(self, images: Tensor) -> Tensor:
        read = self.first(images)
        return self.last(self.second(self.norm(read) + read))


@torch.no_grad()
def test_what_is_read_twice_stays() -> None:
    network = ReadTwice().eval()
    spread(network)
    images = torch.randn(2, 3, 9, 9)
    expected = network(images)
    fold_batch_norm(network)
    assert norms(network) == [network.norm]
    torch.testing.assert_close(network(images), expected)
