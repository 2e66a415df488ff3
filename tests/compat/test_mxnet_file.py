"""MXNet's parameter files: those that four versions of it wrote, and those that nobody should trust.

The files in mxnet/ were written by MXNet 0.9.5, 0.11.0 and 1.9.1 (the latter with and without NumPy's shapes).
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sbnet.compat.mxnet_file import LIST, read_mxnet
from sbnet.compat.state_file import read_state
from sbnet.errors import SBNetError

FOLDER = Path(__file__).parent / "mxnet"
WHOLE = ("mxnet_0.9.5", "mxnet_0.11.0", "mxnet_1.9.1", "mxnet_1.9.1_numpy")
WEIGHT = np.random.RandomState(0).standard_normal((2, 3, 1, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mxnet") / "file.params"


def test_three_versions_of_the_format() -> None:
    for version in ("mxnet_0.9.5", "mxnet_0.11.0", "mxnet_1.9.1"):
        arrays = read_mxnet(FOLDER / f"{version}.params")
        assert torch.equal(arrays["arg:conv1a_weight"], torch.from_numpy(WEIGHT))
        assert arrays["aux:bn7_moving_mean"].tolist() == [0, 1, 2, 3]
    for version in ("mxnet_0.9.5", "mxnet_0.11.0"):
        arrays = read_mxnet(FOLDER / f"{version}.params")
        typed = {name: (arrays[name].dtype, arrays[name].tolist()) for name in list(arrays)[2:]}
        assert typed == {
            "double": (torch.float64, [0.5, -2.0]),
            "half": (torch.float16, [0.5, -2.0]),
            "byte": (torch.uint8, [1, 255]),
            "int": (torch.int32, [-1, 7]),
        }


def test_every_type_that_mxnet_writes() -> None:
    arrays = read_mxnet(FOLDER / "mxnet_1.9.1.params")
    names = ["float32", "float64", "float16", "uint8", "int32", "int8", "int64", "bool", "bfloat16"]
    assert list(arrays)[2:] == names
    for name in names[:-1]:
        assert arrays[name].dtype == getattr(torch, name)
        assert arrays[name].tolist() == (
            [[False, True], [True, True]] if name == "bool" else [[0, 1], [2, 3]]
        )
    # MXNet took the numbers 0 to 3 as the bits of a bfloat16.
    assert arrays["bfloat16"].dtype == torch.bfloat16
    assert arrays["bfloat16"].view(torch.int16).tolist() == [[0, 1], [2, 3]]


def test_numpy_shapes() -> None:
    arrays = read_mxnet(FOLDER / "mxnet_1.9.1_numpy.params")
    assert torch.equal(arrays["matrix"], torch.from_numpy(WEIGHT.reshape(2, 3)))
    assert (arrays["scalar"].shape, arrays["scalar"].item()) == ((), 7.0)
    assert arrays["empty"].shape == (0, 3)
    assert arrays["flag"].tolist() == [True, False]


@pytest.mark.parametrize(
    ("name", "message"),
    [("mxnet_1.9.1_sparse", "storage type 2; only dense"), ("mxnet_1.9.1_unnamed", "1 arrays, but 0 names")],
)
def test_what_is_no_state(name: str, message: str) -> None:
    with pytest.raises(SBNetError, match=f"{name}.params.*{message}"):
        read_state(FOLDER / f"{name}.params")


@pytest.mark.parametrize("name", WHOLE)
def test_a_file_cut_short_or_gone_on_is_refused(name: str, scratch: Path) -> None:
    content = (FOLDER / f"{name}.params").read_bytes()
    for length in range(len(content)):
        scratch.write_bytes(content[:length])
        with pytest.raises(SBNetError, match="damaged MXNet parameter file"):
            read_mxnet(scratch)
    scratch.write_bytes(content + b"\0")
    with pytest.raises(SBNetError, match="1 bytes after its end"):
        read_mxnet(scratch)


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(WHOLE),
    flips=st.lists(st.tuples(st.integers(0, 2**16), st.integers(1, 255)), min_size=1, max_size=8),
)
def test_flipped_bytes_give_tensors_or_a_refusal(name: str, flips: list, scratch: Path) -> None:
    content = bytearray((FOLDER / f"{name}.params").read_bytes())
    for place, bits in flips:
        content[place % len(content)] ^= bits
    scratch.write_bytes(content)
    try:
        arrays = read_mxnet(scratch)
    except SBNetError:
        return
    assert sum(array.nbytes for array in arrays.values()) < len(content)


def _file(array: bytes, *, arrays: int = 1, names: tuple[bytes, ...] = (b"a",)) -> bytes:
    listed = b"".join(struct.pack("<Q", len(name)) + name for name in names)
    return LIST + struct.pack("<Q", arrays) + array + struct.pack("<Q", len(names)) + listed


def _dense(*shape: int, kind: int = 0, values: bytes = b"", magic: int = 0xF993FAC9) -> bytes:
    dimensions = struct.pack(f"<I{len(shape)}q", len(shape), *shape)
    return struct.pack("<Ii", magic, 0) + dimensions + struct.pack("<iii", 1, 0, kind) + values


FOUR = b"\0" * 4
HOSTILE = {
    "more arrays than bytes": (_file(_dense(1, values=FOUR), arrays=2**60), "arrays, but .* bytes are left"),
    "a petabyte": (_file(_dense(2**48)), r"shape \(281474976710656,\)"),
    "a product that wraps": (_file(_dense(2**32, 2**32, values=FOUR)), "values are left"),
    "a huge empty one": (_file(_dense(2**62, 0)), "values are left"),
    "a negative side": (_file(_dense(-1, values=FOUR)), r"shape \(-1,\)"),
    "two negative sides": (_file(_dense(-1, -1, values=FOUR)), r"shape \(-1, -1\)"),
    "too many sides": (_file(_dense(*[1] * 40, values=FOUR)), "40 dimensions"),
    "legacy with too many sides": (_file(struct.pack("<I", 2**31) + FOUR), "2147483648 dimensions"),
    "never filled": (_file(_dense(values=FOUR)), "never filled"),
    "an unknown type": (_file(_dense(1, kind=99, values=FOUR)), "unknown type 99"),
    "a long name": (_file(_dense(1, values=FOUR))[:-9] + struct.pack("<Q", 2**63) + b"a", "cut short"),
    "a name that is no text": (_file(_dense(1, values=FOUR), names=(b"\xff",)), "not text"),
    "names twice": (
        _file(2 * _dense(1, values=FOUR), arrays=2, names=(b"a", b"a")),
        "a name occurs twice",
    ),
    "fewer names": (_file(2 * _dense(1, values=FOUR), arrays=2), "2 arrays, but 1 names"),
}


def test_the_crafted_file_is_fine_when_it_is_not_hostile(scratch: Path) -> None:
    scratch.write_bytes(_file(_dense(1, values=struct.pack("<f", 2.5))))
    assert read_mxnet(scratch)["a"].tolist() == [2.5]


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_files(what: str, scratch: Path) -> None:
    content, message = HOSTILE[what]
    scratch.write_bytes(content)
    with pytest.raises(SBNetError, match=message):
        read_mxnet(scratch)
