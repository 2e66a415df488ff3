"""CAM files of other implementations: theirs are read, ours are read by them, and hostile ones run nothing."""

from __future__ import annotations

import io
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sbnet.compat import cams as cam_files
from sbnet.compat.cam_dictionary import read_dictionary, write_dictionary
from sbnet.data.io.files import write_scores
from sbnet.errors import SBNetError

OLD = Path(__file__).parent / "cams" / "numpy_1.23.npy"  # written by np.save of NumPy 1.23.5


def cams(*keys: int, height: int = 4, width: int = 5) -> dict[int, np.ndarray]:
    generator = np.random.default_rng(0)
    return {key: generator.random((height, width), np.float32) for key in keys}


def irns(*, keys: np.ndarray, high_res: np.ndarray) -> dict[str, np.ndarray]:
    return {"keys": keys, "cam": cams(1)[1], "high_res": high_res}


def header(shape: tuple[int, ...] = (), descr: str = "|O") -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue()


def as_object(content: Any) -> np.ndarray:
    array = np.empty((), object)
    array[()] = content
    return array


def same(first: dict, second: dict) -> bool:
    return list(first) == list(second) and all(np.array_equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("protocol", [2, 3, 4])  # np.save's, by age
def test_reads_what_numpy_writes(protocol: int, tmp_path: Path) -> None:
    path, written = tmp_path / "a.npy", cams(3, 19) | {np.int64(7): np.asfortranarray(cams(1)[1])}
    path.write_bytes(header() + pickle.dumps(as_object(written), protocol))
    assert same(read_dictionary(path), written)


def test_reads_what_old_numpy_wrote() -> None:
    generator = np.random.default_rng(0)
    arrays = [generator.random((2, 3)).astype(np.float32) for _ in range(3)]
    assert same(read_dictionary(OLD), dict(zip((3, 19, 5), arrays, strict=True)))


def test_the_references_scripts_read_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    write_dictionary(path, cams(0, 14))
    assert same(np.load(path, allow_pickle=True).item(), cams(0, 14))
    assert same(read_dictionary(path), cams(0, 14))
    assert b"numpy._core" not in path.read_bytes()  # NumPy 1 has no such module
    assert b"numpy.core.multiarray" in path.read_bytes()


@settings(max_examples=50, deadline=None)
@given(
    keys=st.lists(st.integers(0, 254), min_size=1, max_size=5, unique=True),
    size=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    number=st.floats(0, 1, width=32),
)
def test_round_trip(keys: list[int], size: tuple[int, int], number: float, tmp_path_factory: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "round_trip.npy"
    written = {key: np.full(size, number, np.float32) for key in keys}
    write_dictionary(path, written)
    assert same(read_dictionary(path), written)
    assert same(np.load(path, allow_pickle=True).item(), written)


def test_class_ids_are_the_whole_data_sets(tmp_path: Path) -> None:
    path, scores = tmp_path / "a.npy", np.stack(list(cams(0, 1).values()))
    cam_files.write_cam(path, scores, np.array([1, 15]))
    assert list(np.load(path, allow_pickle=True).item()) == [0, 14]
    found = cam_files.read_cam(path)
    assert found.classes.tolist() == [1, 15]
    assert np.array_equal(found.scores, scores)
    cam_files.write_marginals(path, np.concatenate([scores, scores[:1]]), np.array([3, 15]))
    marginals = cam_files.read_marginals(path)
    assert marginals.classes.tolist() == [3, 15]
    assert np.array_equal(marginals.marginals[:2], scores)
    cam_files.write_cam(path, scores, np.array([2, 3]))
    with pytest.raises(SBNetError, match="no background, key 0"):
        cam_files.read_marginals(path)


def test_no_class_has_the_id_of_pixels_of_no_class(tmp_path: Path) -> None:
    path, scores = tmp_path / "a.npy", np.stack(list(cams(0, 1).values()))
    cam_files.write_cam(path, scores, np.array([1, 254]))
    assert cam_files.read_cam(path).classes.tolist() == [1, 254]
    for key in (254, 255):
        write_dictionary(path, {0: scores[0], key: scores[1]})
        found = cam_files.read_marginals if key == 255 else cam_files.read_cam
        with pytest.raises(SBNetError, match=f"expected classes as whole numbers from 0 to {key - 1}"):
            found(path)
    write_dictionary(path, {0: scores[0], 254: scores[1]})
    assert cam_files.read_marginals(path).classes.tolist() == [254]


@pytest.mark.parametrize("keys", [torch.tensor([3, 19]), np.array([3, 19])])
def test_irns_dictionaries(keys: Any, tmp_path: Path) -> None:
    path, high = tmp_path / "a.npy", np.stack(list(cams(0, 1).values()))
    strided = torch.rand(2, 1, 2)[:, :, 1:]
    np.save(path, as_object({"keys": keys, "cam": strided, "high_res": high}))
    found = cam_files.read_cam(path)
    assert found.classes.tolist() == [4, 20]
    assert np.array_equal(found.scores, high)
    assert np.array_equal(read_dictionary(path)["cam"], strided.numpy())


def test_flat_cams_of_the_reference_are_nothing(tmp_path: Path) -> None:
    """Its normalisation gives -1 where a class has no activation, and just below 0 at the minimum."""
    np.save(
        tmp_path / "a.npy",
        as_object({0: np.full((2, 2), -1, np.float32), 1: np.float32([[-1e-5, 1]])[[0, 0]]}),
    )
    assert cam_files.read_cam(tmp_path / "a.npy").scores.tolist() == [[[0, 0], [0, 0]], [[0, 1], [0, 1]]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "the keys"),
        ({-1: cams(1)[1]}, "expected classes"),
        (
            {254: cams(1)[1]},
            "expected classes as whole numbers from 0 to 253",
        ),  # class id 255: pixels of no class
        ({255: cams(1)[1]}, "expected classes"),
        ({"cat": cams(1)[1]}, "expected classes"),
        ({1.5: cams(1)[1]}, "not an array under a whole number"),
        ({0: cams(1)[1], 1: cams(1, width=6)[1]}, "of one size"),
        ({0: np.ones((2, 2, 2), np.float32)}, "of one size"),
        ({0: np.ones((2, 2), int)}, "expected floats .height, width. of one size"),
        ({0: np.full((2, 2), np.nan, np.float32)}, "not finite"),
        ({0: np.full((2, 2), 30, np.float32)}, r"from 30 to 30; normalize each class"),
        ({0: np.full((2, 2), -9, np.float32)}, "normalize"),
        ({0: [[1.0]]}, "not an array under a whole number"),
        ({0: {1: cams(1)[1]}}, "not an array under a whole number"),
        ({0: np.array([[None]])}, "an array of objects"),
        ({index: cams(1)[1] for index in range(300)}, "not a dictionary of classes"),
        ([cams(1)], "not a dictionary of classes"),
        (irns(keys=np.array([1]), high_res=cams(1)[1]), r"keys \(1,\) with CAMs \(4, 5\)"),
        (irns(keys=np.array([1]), high_res=np.array(1.0)), r"keys \(1,\) with CAMs \(\)"),
        (irns(keys=np.array(1), high_res=cams(1)[1][None]), r"keys \(\) with CAMs \(1, 4, 5\)"),
        (irns(keys=np.array([1.0]), high_res=cams(1)[1][None]), "expected classes"),
        (irns(keys=np.array([254]), high_res=cams(1)[1][None]), "expected classes"),
    ],
)
def test_what_is_no_cam(content: Any, message: str, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", as_object(content))
    with pytest.raises(SBNetError, match=f"a.npy: .*{message}"):
        cam_files.read_cam(tmp_path / "a.npy")


class Call:
    """Pickles into a call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def hostile(witness: Path) -> dict[str, bytes]:
    touch = f"touch {witness}"
    array = np.ones((2, 2), np.float32)
    calls = {
        "os.system": Call(os.system, touch),
        "as a value": {0: Call(os.system, touch)},
        "as a key": {Call(os.system, touch): array},
        "nested": {0: {1: [{2: (Call(os.system, touch),)}]}},
        "in an object array": {0: np.array([Call(os.system, touch)], dtype=object)},
        "eval": {0: Call(eval, f"open({str(witness)!r}, 'w')")},
        "getattr": {0: Call(getattr, "text", "upper")},
        "a class": {0: Path("x")},
        "numpy's own loader": {0: Call(np.load, str(OLD))},
    }
    crafted = {name: pickle.dumps(as_object(content), 4) for name, content in calls.items()}
    whole = pickle.dumps(as_object({0: array}), 2)
    system = b"cos\nsystem\n(S'" + touch.encode() + b"'\ntR."
    crafted |= {
        "protocol 0": system,
        "before the array": system[:-1] + b"0" + whole[2:],
        "INST": b"(S'" + touch.encode() + b"'\nios\nsystem\n.",
        "OBJ": b"(cos\nsystem\nS'" + touch.encode() + b"'\no.",
        "NEWOBJ": b"\x80\x02cos\nsystem\n(S'x'\nt\x81.",
        "a persistent id": b"Pos\n.",
        "an extension": b"\x80\x02\x82\x01.",
        "a dotted name": b"\x80\x04\x8c\x05numpy\x8c\x0cndarray.dump\x93.",
        "a name through a module": b"\x80\x04\x8c\x05numpy\x8c\x09os.system\x93.",
        "a changed function": b"\x80\x02cnumpy\nndarray\n}(X\x01\x00\x00\x00aK\x01ub.",
        "a changed function's slots": b"\x80\x02cnumpy\nndarray\n(N}(X\x05\x00\x00\x00_makeK\x01utb.",
        "a huge memo": b"\x80\x02}r\xff\xff\xff\x7f.",
        "huge bytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"x.",
        "a huge frame": b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"N.",
        "a bytearray": b"\x80\x05\x96" + struct.pack("<Q", 2**36) + b".",
        "a huge array": _array_of((2**40,), b"\0" * 4),
        "a negative side": _array_of((-1,), b""),
        "sides that are no numbers": _array_of((1.0,), b"\0" * 4),
        "a type of objects over bytes": _array_of((1,), b"\0" * 8, "O8"),
        "a structured type": _array_of((1,), b"\0" * 8, "f4,O4"),
        "a string type": _array_of((1,), b"\0" * 8, "S8"),
        "a pickle after the pickle": whole + system,
        "deep": b"\x80\x02" + b"(" * 200_000 + b"t" * 200_000 + b".",
    }
    return {name: header() + content for name, content in crafted.items()} | {
        "many objects": header((2,)) + whole,
        "no objects": header((1,), "<f4") + b"\0" * 4,
        "no header": b"\x93NUMPY\x01\x00\xff\xff{",
        "nothing": b"",
        "a picture": b"\x89PNG\r\n\x1a\n" + b"\0" * 64,
    }


def _array_of(shape: tuple[Any, ...], content: bytes, kind: str = "f4") -> bytes:
    """A dictionary of one array whose shape and bytes need not fit."""

    class Fake:
        def __reduce__(self) -> Any:
            reconstruct = np.zeros(0).__reduce__()[0]
            state = (1, shape, Call(np.dtype, kind, False, True), False, content)
            return reconstruct, (np.ndarray, (0,), b"b"), state

    return pickle.dumps(as_object({0: Fake()}), 2)


@pytest.mark.parametrize("name", hostile(Path("unused")))
def test_hostile_files_run_nothing(name: str, tmp_path: Path) -> None:
    path, witness = tmp_path / "a.npy", tmp_path / "witness"
    path.write_bytes(hostile(witness)[name])
    with pytest.raises(SBNetError, match=r"a\.npy: refused: not a dictionary of CAMs"):
        read_dictionary(path)
    assert not witness.exists()


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
@pytest.mark.parametrize("fix", ["nothing", "storage", "strides", "count"])
def test_hostile_tensors(fix: str, tmp_path: Path) -> None:
    storage = torch.ones(4).storage()
    rebuild, offset, size, stride, more = torch._utils._rebuild_tensor_v2, 0, (2, 2), (2, 1), (False, {})
    if fix == "storage":
        size = (2**40, 1)
    elif fix == "strides":
        size, stride = (2**40,), (0,)
    content = pickle.dumps(as_object({0: Call(rebuild, storage, offset, size, stride, *more)}), 2)
    if fix == "count":
        at = content.rindex(struct.pack("<q", 4))
        content = content[:at] + struct.pack("<q", 2**40) + content[at + 8 :]
    (tmp_path / "a.npy").write_bytes(header() + content)
    if fix == "nothing":
        assert read_dictionary(tmp_path / "a.npy")[0].tolist() == [[1, 1], [1, 1]]
        return
    with pytest.raises(SBNetError, match="refused"):
        read_dictionary(tmp_path / "a.npy")


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    path, content = tmp_path / "a.npy", OLD.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(SBNetError, match="refused"):
            read_dictionary(path)


@settings(max_examples=300, deadline=None)
@given(flips=st.lists(st.tuples(st.integers(0, 2**16), st.integers(1, 255)), min_size=1, max_size=6))
def test_flipped_bytes_give_arrays_or_a_refusal(flips: list, tmp_path_factory: Any) -> None:
    content = bytearray(OLD.read_bytes())
    for place, bits in flips:
        content[place % len(content)] ^= bits
    path = tmp_path_factory.getbasetemp() / "flipped.npy"
    path.write_bytes(content)
    try:
        found = read_dictionary(path)
    except SBNetError:
        return
    assert all(isinstance(array, np.ndarray) and array.dtype.kind in "fiub" for array in found.values())


def test_an_images_cams_are_checked_against_it(tmp_path: Path) -> None:
    theirs, ours = tmp_path / "a.npy", tmp_path / "b.npz"
    scores = np.stack(list(cams(0, 1, 2).values())).round(2)
    cam_files.write_cam(theirs, scores, np.array([5, 2, 9]))
    write_scores(ours, scores, np.array([5, 2, 9]))
    for path in (theirs, ours):
        found = cam_files.read_any_cam(path, size=(4, 5), classes=(2, 5))
        assert found.classes.tolist() == [2, 5]
        assert np.allclose(found.scores, scores[[1, 0]], atol=1e-3)
        with pytest.raises(SBNetError, match="CAMs of 5 x 4 pixels, but the image has 4 x 5"):
            cam_files.read_any_cam(path, size=(5, 4), classes=(2,))
        with pytest.raises(SBNetError, match="no CAM of class 3"):
            cam_files.read_any_cam(path, size=(4, 5), classes=(2, 3))
    assert cam_files.find_cam(tmp_path, "a") == theirs
    with pytest.raises(SBNetError, match="no CAMs of image 'c'"):
        cam_files.find_cam(tmp_path, "c")
