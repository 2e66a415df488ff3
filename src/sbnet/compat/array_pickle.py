"""Pickles of arrays of numbers, read without trusting them.

A pickle can call any function. Here the functions that it names are looked up in a table of a few stand-ins, which only
make arrays of numbers from bytes in the file; every other name, and every operation that such a file does not need, is
refused before anything is called. NumPy's own dtype and ndarray are not in the table: they trust the state that a pickle
gives them.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from math import prod
from typing import Any

import numpy as np
import torch

from sbnet.compat.state_file import load_pickle

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


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        make = STAND_INS.get((module.replace("numpy._core", "numpy.core"), name))
        if make is None:
            raise ValueError(f"names {module}.{name}")
        return lambda *arguments: make(*arguments)  # a new one each time, as a pickle may set its attributes


class _Type:
    """Stands for a NumPy type: numbers, or object for the array around the dictionary."""

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

    def __init__(self, *_empty: Any) -> None:
        self.value: Any = None

    def __setstate__(self, state: Any) -> None:
        _version, shape, kind, fortran, content = state
        if not isinstance(content, list):
            self.value = _numbers(content, kind, shape, "F" if fortran else "C")
        elif kind.dtype == np.dtype(object) and shape == () and len(content) == 1:
            self.value = content[0]
        else:
            raise ValueError(f"an array of objects of shape {shape}")


def _numbers(content: Any, kind: Any, shape: Any, order: Any) -> np.ndarray:
    """An array from exactly as many bytes as its shape takes."""
    content = content.encode("latin1") if isinstance(content, str) else bytes(memoryview(content))
    sides = len(shape) <= 4 and all(type(side) is int and side >= 0 for side in shape)
    if kind.dtype.kind not in KINDS or not sides:
        raise ValueError(f"an array of {kind.dtype} of shape {shape}")
    if prod(shape) * kind.dtype.itemsize != len(content):
        raise ValueError(f"{len(content)} bytes for {kind.dtype} of shape {shape}")
    return np.frombuffer(content, kind.dtype).reshape(shape, order=order)


def _scalar(kind: Any, content: Any) -> Any:
    return _numbers(content, kind, (), "C").item()


def _encode(text: Any, encoding: Any) -> bytes:
    """Bytes, as protocol 2 writes them."""
    if encoding != "latin1":
        raise ValueError(f"the encoding {encoding!r}")
    return bytes(str(text), "latin1")


def _storage(content: Any) -> Array:
    """The values of a PyTorch storage, (N,)."""
    stored: Any = load_pickle(io.BytesIO(bytes(memoryview(content))), "a tensor in it")
    array = Array()
    array.value = torch.empty(0, dtype=stored.dtype).set_(stored._untyped_storage)
    return array


def _tensor(storage: Array, offset: Any, size: Any, stride: Any, *_more: Any) -> Array:
    tensor = torch.as_strided(storage.value, size, stride, offset)  # raises for what is beyond the values
    if tensor.numel() > storage.value.numel():
        raise ValueError(f"a tensor of shape {size} in {storage.value.numel()} values")
    array = Array()
    array.value = tensor.numpy()
    return array


STAND_INS: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): Array,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy", "ndarray"): Array,
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _encode,
    ("collections", "OrderedDict"): lambda: {},  # of a tensor's hooks
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch.storage", "_load_from_bytes"): _storage,
}
