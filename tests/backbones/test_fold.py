"""Folded batch norms: equal features, and nothing folded that something else reads."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from sbnet.backbones.fold import batch_norm_fused, fold_batch_norm
from sbnet.networks.build import build


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


def trained(network: nn.Module, images: Tensor) -> tuple[list[Tensor], dict[str, Tensor]]:
    """Features, and the weights' gradients of a sum that weighs channels differently."""
    network.zero_grad()
    features = network.backbone(images)
    weights = (torch.linspace(-1, 1, feature.shape[1])[:, None, None] for feature in features)
    sum((feature * weight).mean() for feature, weight in zip(features, weights, strict=True)).backward()
    gradients = {name: value.grad for name, value in network.named_parameters() if value.grad is not None}
    return [feature.detach() for feature in features], gradients


@pytest.mark.parametrize("name", ["sbnet-lite0", "deeplabv2-resnet101", "sbnet-resnet38"])
def test_fused_for_training(name: str) -> None:
    """Features and gradients are equal, weights and their names untouched; and all is as before when it ends."""
    network = build(name, 4, weights="none").double()
    spread(network)
    for module in network.modules():
        if isinstance(module, nn.Dropout2d):
            module.p = 0
    images = torch.randn(1, 3, 40, 46, dtype=torch.float64)
    features, gradients = trained(network, images)
    state = {key: value.clone() for key, value in network.state_dict().items()}
    random = torch.get_rng_state()
    with batch_norm_fused(network):
        assert torch.equal(torch.get_rng_state(), random)
        found, fused = trained(network, images)
        assert list(network.state_dict()) == list(state)
        assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
        passing = [norm for norm in norms(network) if "forward" in vars(norm)]
    assert len(passing) == {"sbnet-lite0": 49, "deeplabv2-resnet101": 104, "sbnet-resnet38": 20}[name]
    assert fused.keys() == gradients.keys()
    for one, other in zip(found, features, strict=True):
        assert (one - other).abs().max() < 1e-10 * (other.max() - other.min())
    for key, gradient in gradients.items():
        assert (fused[key] - gradient).abs().max() < 1e-9 * gradient.abs().max(), key
    again, _ = trained(network, images)
    assert all(torch.equal(one, other) for one, other in zip(again, features, strict=True))
    with torch.no_grad():
        for one, other in zip(network.backbone(images), features, strict=True):
            assert (one - other).abs().max() < 1e-10 * (other.max() - other.min())


def test_a_trained_batch_norm_stays() -> None:
    network = build("sbnet-lite0", 4, weights="none")
    norm = norms(network)[3]
    norm.weight.requires_grad_(True)
    with batch_norm_fused(network):
        assert "forward" not in vars(norm)
        assert "forward" in vars(norms(network)[4])
    assert not any("forward" in vars(module) for module in network.modules())
