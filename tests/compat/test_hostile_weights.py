"""Weights files that no training writes: refused in a sentence, before they take memory, and never half taken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from sbnet.backbones.weights import lite_path
from sbnet.compat.irn_names import IRN_MARK
from sbnet.compat.names import our_name
from sbnet.compat.reference import load_reference
from sbnet.compat.state_file import FLOATS, TYPES, WHOLE, read_weights
from sbnet.errors import SBNetError
from sbnet.networks.build import build
from sbnet.networks.foreign import convert_weights
from sbnet.networks.model_file import load_model

SMALL = "timm:test_efficientnet"
NAMES = ["background", "cat", "dog", "owl"]


@pytest.fixture(scope="module")
def states() -> dict[str, dict[str, Tensor]]:
    """Name of a small network -> its tensors, under names such as the reference's."""
    torch.manual_seed(0)
    made = {name: build(name, 4, weights="none") for name in (f"sbnet-{SMALL}", f"deeplabv2-{SMALL}")}
    return {
        name: {our_name(key): value for key, value in net.state_dict().items()} for name, net in made.items()
    }


# Kind -> how to make a tensor that no network has, and what is said of it. The first is 33 GB, if it is believed.
STRANGE: dict[str, tuple[Callable[[], Tensor], str]] = {
    "repeated": (
        lambda: torch.zeros(1).expand(21, 400_000_000, 1, 1),
        r"\(21, 400000000, 1, 1\) out of 4 bytes",
    ),
    "overlapping": (lambda: torch.zeros(8).as_strided((4, 4), (1, 1)), r"\(4, 4\) out of 32 bytes"),
    "without values": (lambda: torch.empty(4, 4, device="meta"), "without values .device meta"),
    "sparse": (lambda: torch.eye(4).to_sparse(), "sparse .sparse_coo"),
    "sparse rows": (lambda: torch.eye(4).to_sparse_csr(), "sparse .sparse_csr"),
    "complex": (lambda: torch.ones(4, 4, dtype=torch.complex64), "of type complex64"),
    "eighths": (lambda: torch.ones(4, 4).to(torch.float8_e4m3fn), "of type float8_e4m3fn"),
    "quantized": (lambda: torch.quantize_per_tensor(torch.ones(4, 4), 1.0, 0, torch.qint8), "of type qint8"),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", STRANGE)
def test_tensors_that_are_no_arrays(kind: str, states: dict[str, dict[str, Tensor]], tmp_path: Path) -> None:
    make, message = STRANGE[kind]
    tensor = make()
    path, out = tmp_path / "theirs.pth", tmp_path / "ours.safetensors"
    for name, key in (
        (f"sbnet-{SMALL}", "fc8.weight"),
        (f"deeplabv2-{SMALL}", "aspp.c0.bias"),
        (SMALL, "extra"),
    ):
        torch.save(states.get(name, states[f"sbnet-{SMALL}"]) | {key: tensor}, path)
        assert path.stat().st_size < 2**20
        with pytest.raises(SBNetError, match=f"theirs.pth: refused: {key} is {message}"):
            convert_weights(path, name, out, classes=NAMES)
        with pytest.raises(SBNetError, match="refused"):
            build(f"sbnet-{SMALL}", weights=f"file:{path}")
    assert not out.exists()


def test_many_are_not_all_listed(tmp_path: Path) -> None:
    path = tmp_path / "theirs.pth"
    torch.save({f"w{index}": torch.empty(2, device="meta") for index in range(900)}, path)
    with pytest.raises(SBNetError, match="and 895 more; weights must be dense arrays") as refused:
        read_weights(path)
    assert len(str(refused.value)) < 700


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("fc8.weight", torch.tensor(1.0), r"fc8.weight is \(\), not"),
        ("fc8.weight", torch.zeros(4, 256, 1, 1, dtype=torch.int64), "fc8.weight is int64, not float32"),
        ("fc8.weight", torch.zeros(4, 256, 1, 1, dtype=torch.bool), "fc8.weight is bool, not float32"),
        ("fc8.weight", torch.zeros(4, 0, 1, 1), r"fc8.weight is \(4, 0, 1, 1\), not"),
        ("fc8.weight", torch.full((4, 256, 1, 1), torch.inf), "not finite in fc8.weight"),
        ("fc8.weight", torch.full((4, 256, 1, 1), 1e300, dtype=torch.float64), "not finite in fc8.weight"),
    ],
)
def test_tensors_of_another_kind(
    key: str, value: Tensor, message: str, states: dict[str, dict[str, Tensor]], tmp_path: Path
) -> None:
    state = states[f"sbnet-{SMALL}"]
    if value.ndim == 4 and value.shape[1]:
        value = value[:, :1].expand_as(state[key]).contiguous()
    torch.save(state | {key: value}, tmp_path / "theirs.pth")
    with pytest.raises(SBNetError, match=f"theirs.pth: .*{message}"):
        convert_weights(
            tmp_path / "theirs.pth", f"sbnet-{SMALL}", tmp_path / "ours.safetensors", classes=NAMES
        )
    assert not (tmp_path / "ours.safetensors").exists()


def test_a_single_number_for_a_bias(states: dict[str, dict[str, Tensor]], tmp_path: Path) -> None:
    for bias in (torch.tensor(1.0), torch.zeros(4, 1)):
        torch.save(states[f"deeplabv2-{SMALL}"] | {"aspp.c0.bias": bias}, tmp_path / "theirs.pth")
        with pytest.raises(SBNetError, match=r"aspp.c0.bias is \(.*\), not \(4,\)"):
            convert_weights(
                tmp_path / "theirs.pth", f"deeplabv2-{SMALL}", tmp_path / "ours.safetensors", classes=NAMES
            )


def test_irns_second_names_of_another_kind(tmp_path: Path) -> None:
    for other in (torch.zeros(2, 2), torch.zeros(3, dtype=torch.int64), torch.tensor(0.0)):
        torch.save({IRN_MARK: torch.zeros(3), "stage1.0.weight": other}, tmp_path / "irn.pth")
        with pytest.raises(SBNetError, match=r"irn.pth: .*stage1.0.weight: differs|irn.pth: .*does not fit"):
            convert_weights(tmp_path / "irn.pth", "cam-timm:resnet50", tmp_path / "irn.safetensors")


def test_efficientnets_tensors_in_part_or_of_other_shapes(tmp_path: Path) -> None:
    state = torch.load(lite_path("lite0"), weights_only=True)
    wrong = [dict(list(state.items())[:9]), state | {"_conv_head.weight": torch.zeros(1)}]
    for theirs in (*wrong, {name: state[name] for name in sorted(state)}):
        torch.save(theirs, tmp_path / "lite.pth")
        with pytest.raises(SBNetError, match=r"lite\.pth: not the weights of this backbone"):
            convert_weights(tmp_path / "lite.pth", "lite0", tmp_path / "lite.safetensors")


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_floats_of_any_precision_are_taken(
    kind: torch.dtype, states: dict[str, dict[str, Tensor]], tmp_path: Path
) -> None:
    state = states[f"sbnet-{SMALL}"]
    torch.save({name: value.to(kind) for name, value in state.items()}, tmp_path / "theirs.pth")
    done = convert_weights(
        tmp_path / "theirs.pth", f"sbnet-{SMALL}", tmp_path / "ours.safetensors", classes=NAMES
    )
    loaded = load_model(done.path)[0].state_dict()
    assert {value.dtype for value in loaded.values()} == {torch.float32, torch.int64}
    for name, value in loaded.items():
        assert torch.equal(value, state[our_name(name)].to(kind).to(value.dtype))


def test_complex_weights_in_our_own_file(states: dict[str, dict[str, Tensor]], tmp_path: Path) -> None:
    torch.save(states[f"sbnet-{SMALL}"], tmp_path / "theirs.pth")
    out = tmp_path / "ours.safetensors"
    convert_weights(tmp_path / "theirs.pth", f"sbnet-{SMALL}", out, classes=NAMES)
    with safe_open(out, framework="pt") as file:
        metadata = file.metadata()
    for kind in (torch.complex64, torch.int32):
        tensors = load_file(out)
        tensors["fc8.weight"] = tensors["fc8.weight"].to(kind)
        save_file(tensors, tmp_path / "changed.safetensors", metadata=metadata)
        with pytest.raises(SBNetError, match="its tensors are not those of the network"):
            load_model(tmp_path / "changed.safetensors")


shapes = st.lists(st.integers(0, 5), max_size=4).map(tuple)


@settings(max_examples=25)
@given(data=st.data(), shape=shapes, kind=st.sampled_from(TYPES))
def test_any_tensor_in_any_place(
    data: st.DataObject,
    shape: tuple[int, ...],
    kind: torch.dtype,
    states: dict[str, dict[str, Tensor]],
    tmp_path_factory: Any,
) -> None:
    """Refused, or the network has its numbers."""
    name = data.draw(st.sampled_from(sorted(states)))
    key = data.draw(st.sampled_from(sorted(states[name])))
    given_shape = data.draw(st.sampled_from([shape, tuple(states[name][key].shape)]))
    folder = tmp_path_factory.getbasetemp()
    path, out = folder / "any.pth", folder / "any.safetensors"
    out.unlink(missing_ok=True)
    value = torch.ones(given_shape).to(kind)
    torch.save(states[name] | {key: value}, path)
    fits = tuple(given_shape) == tuple(states[name][key].shape) and (
        kind in FLOATS or (kind in WHOLE and not states[name][key].is_floating_point())
    )
    try:
        convert_weights(path, name, out, classes=NAMES)
    except SBNetError:
        assert not fits
        assert not out.exists()
        return
    assert fits
    found = {our_name(one): tensor for one, tensor in load_model(out)[0].state_dict().items()}
    assert bool((found[key] == 1).all())


def test_a_state_in_memory_is_held_to_the_same(states: dict[str, dict[str, Tensor]]) -> None:
    state = states[f"sbnet-{SMALL}"]
    network = build(f"sbnet-{SMALL}", 4, weights="none")
    with pytest.raises(SBNetError, match=r"f9\.weight is complex64, not float32"):
        load_reference(network, state | {"f9.weight": state["f9.weight"].to(torch.complex64)})
