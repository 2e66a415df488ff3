"""Pickles of arrays of numbers, read without trusting them.

A pickle can call any function. Here the functions that it names are looked up in a table of a few stand-ins, which only
make arrays of numbers from bytes in the file; every other name, and every operation that such a file does not need, is
refused before anything is called.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import struct
from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

KINDS = "fiub"  # floats, whole numbers, booleans
# What np.save uses for dictionaries of arrays, in protocols 2 to 4, in Python 2 and 3. No operation that makes an
# object of a class, looks up an extension or a persistent id, or takes more memory than the file has bytes.
OPERATIONS = {
    *("PROTO", "FRAME", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "BINFLOAT"),
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4"),
    *("BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    *("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "EMPTY_LIST", "APPEND", "APPENDS"),
    *("EMPTY_DICT", "SETITEM", "SETITEMS"),
    *("BINGET", "LONG_BINGET", "BINPUT", "LONG_BINPUT", "MEMOIZE"),
    *("GLOBAL", "STACK_GLOBAL", "REDUCE", "BUILD"),
}


def unpickle_arrays(content: bytes) -> Any:
    """What is pickled in `content`, each array as an `Array`. Raises some Exception for any other content."""
    for count, (operation, argument, _) in enumerate(pickletools.genops(content)):
        if operation.name not in OPERATIONS:
            raise ValueError(f"the operation {operation.name}")
        # The memo is a list as long as its largest number.
        if operation.name in ("BINPUT", "LONG_BINPUT") and (argument or 0) > count:
            raise ValueError(f"place {argument} of a memo of {count}")
    file = io.BytesIO(content)
    result = _Unpickler(file, encoding="latin1").load()
    if file.tell() != len(content):
        raise ValueError(f"{len(content) - file.tell()} bytes after its end")
    return result


class _Maker:
    """A function that a pickle may call and cannot change."""

    __slots__ = ("_make",)
    _make: Callable[..., Any]

    def __init__(self, make: Callable[..., Any]) -> None:
        object.__setattr__(self, "_make", make)

    def __call__(self, *arguments: Any) -> Any:
        return self._make(*arguments)

    def __setattr__(self, name: str, value: Any) -> None:
        raise ValueError("changes a function")

    def __setstate__(self, state: Any) -> None:
        raise ValueError("changes a function")


class _Type:
    """Stands for a NumPy type: numbers, or object for the array around the dictionary."""

    __slots__ = ("dtype",)

    def __init__(self, code: Any, *_flags: Any) -> None:
        dtype = np.dtype(code if isinstance(code, str) else "")
        if dtype.kind not in KINDS + "O" or dtype.shape or dtype.names:
            raise ValueError(f"the type {code!r}")
        self.dtype = dtype

    def __setstate__(self, state: Any) -> None:
        order = state[1]
        if order not in ("<", ">", "|", "="):
            raise ValueError(f"the byte order {order!r}")
        self.dtype = self.dtype.newbyteorder(order)


class Array:
    """Stands for an array under construction; `value`: the array, or the one object in it."""

    __slots__ = ("value",)

    def __init__(self, *_empty: Any) -> None:
        self.value: Any = None

    def __setstate__(self, state: Any) -> None:
        _version, shape, kind, fortran, content = state
        if isinstance(content, list):
            if kind.dtype != np.dtype(object) or shape != () or len(content) != 1:
                raise ValueError(f"an array of objects of shape {shape}")
            self.value = content[0]
        else:
            self.value = _numbers(content, kind, shape, "F" if fortran else "C")


def _numbers(content: Any, kind: Any, shape: Any, order: Any) -> np.ndarray:
    """An array from exactly as many bytes as its shape takes."""
    content = content.encode("latin1") if isinstance(content, str) else bytes(memoryview(content))
    if (
        kind.dtype.kind not in KINDS
        or any(type(side) is not int or side < 0 for side in shape)
        or len(shape) > 4
    ):
        raise ValueError(f"an array of {kind.dtype} of shape {shape}")
    if prod(shape) * kind.dtype.itemsize != len(content):
        raise ValueError(f"{len(content)} bytes for {kind.dtype} of shape {shape}")
    return np.frombuffer(content, kind.dtype).reshape(shape, order=order)


def _scalar(kind: _Type, content: Any) -> Any:
    return _numbers(content, kind, (), "C").item()


def _encode(text: Any, encoding: Any) -> bytes:
    """Bytes, as protocol 2 writes them."""
    if encoding != "latin1":
        raise ValueError(f"the encoding {encoding!r}")
    return bytes(str(text), "latin1")


def _storage(content: Any) -> np.ndarray:
    """The values of a PyTorch storage: five pickles, which are scanned but not run, a count, the values."""
    file = io.BytesIO(bytes(memoryview(content)))
    names = [
        argument
        for _ in range(5)
        for operation, argument, _ in pickletools.genops(file)
        if operation.name == "GLOBAL"
    ]
    (kind,) = (STORAGES[name] for name in names if name in STORAGES)
    (count,) = struct.unpack("<q", file.read(8))
    values = np.frombuffer(file.read(), kind)
    if len(values) != count:
        raise ValueError(f"a storage of {count} values with {len(values)}")
    return values


def _tensor(storage: np.ndarray, offset: Any, size: Any, stride: Any, *_more: Any) -> Array:
    if (
        len(size) != len(stride)
        or len(size) > 4
        or any(type(one) is not int for one in (offset, *size, *stride))
    ):
        raise ValueError(f"a tensor of shape {size} and strides {stride}")
    last = offset + sum((side - 1) * step for side, step in zip(size, stride, strict=True))
    if min((offset, *stride)) < 0 or min(size, default=1) < 1 or max(last + 1, prod(size)) > len(storage):
        raise ValueError(f"a tensor of shape {size} in {len(storage)} values")
    steps = [step * storage.itemsize for step in stride]
    array = Array()
    array.value = np.lib.stride_tricks.as_strided(storage[offset:], size, steps)
    return array


def _mapping() -> dict[Any, Any]:
    return {}


STORAGES = {
    "torch FloatStorage": "<f4",
    "torch DoubleStorage": "<f8",
    "torch HalfStorage": "<f2",
    "torch LongStorage": "<i8",
    "torch IntStorage": "<i4",
    "torch ByteStorage": "u1",
}
_NUMPY = {
    ("core.multiarray", "_reconstruct"): _Maker(Array),
    ("core.multiarray", "scalar"): _Maker(_scalar),
}
STAND_INS: dict[tuple[str, str], Any] = {
    **{(f"numpy.{module}", name): make for (module, name), make in _NUMPY.items()},
    **{(f"numpy._{module}", name): make for (module, name), make in _NUMPY.items()},
    ("numpy", "ndarray"): _Maker(Array),
    ("numpy", "dtype"): _Maker(_Type),
    ("_codecs", "encode"): _Maker(_encode),
    ("collections", "OrderedDict"): _Maker(_mapping),
    ("torch._utils", "_rebuild_tensor_v2"): _Maker(_tensor),
    ("torch.storage", "_load_from_bytes"): _Maker(_storage),
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in STAND_INS:
            raise ValueError(f"names {module}.{name}")
        return STAND_INS[module, name]
