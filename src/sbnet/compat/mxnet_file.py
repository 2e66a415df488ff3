"""MXNet's parameter files (`mx.nd.save`, `-0001.params`) read without MXNet.

A list of arrays, then a list of names; numbers are little-endian:

    uint64 0x112, uint64 0, uint64 count, count arrays, uint64 count, count times (uint64 length, the name)

An array is, by the version of MXNet that wrote it,

    0.9      uint32 dimensions, uint32 of each; then what follows
    0.11     uint32 0xF993FAC8, uint32 dimensions, int64 of each; then what follows
    0.12     uint32 0xF993FAC9, int32 storage (0 dense), uint32 dimensions, int64 of each; then what follows
    NumPy's  uint32 0xF993FACA, then as 0.12; without dimensions it is a single number

    what follows: int32 device, int32 its number, int32 type, the values

Without dimensions, except NumPy's, an array was never filled, and nothing follows.
"""

from __future__ import annotations

import math
import mmap
import struct
from pathlib import Path

import torch
from torch import Tensor

from sbnet.errors import SBNetError

LIST = struct.pack("<QQ", 0x112, 0)
V1, V2, NUMPY = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
DENSE = 0
MOST_DIMENSIONS = 32  # NumPy's limit; MXNet's arrays have 6 at most
TYPES = {
    0: torch.float32,
    1: torch.float64,
    2: torch.float16,
    3: torch.uint8,
    4: torch.int32,
    5: torch.int8,
    6: torch.int64,
    7: torch.bool,
    8: torch.int16,
    9: torch.uint16,
    10: torch.uint32,
    11: torch.uint64,
    12: torch.bfloat16,
}


def is_mxnet_file(path: Path) -> bool:
    """Whether the file begins like MXNet's lists of arrays."""
    with path.open("rb") as file:
        return file.read(len(LIST)) == LIST


def read_mxnet(path: Path) -> dict[str, Tensor]:
    """Name -> tensor, on the CPU.

    Counts and sizes are checked against the length of the file first, so that no more memory is used than the file has
    bytes. Raises SBNetError, naming the place, for a file that is cut short, has bytes after its end, or holds anything
    but dense named arrays.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as content:
            return _Reader(content).arrays()
    except (_Broken, OSError, ValueError) as error:
        raise SBNetError(f"{path}: damaged MXNet parameter file ({error}); download it again") from error


class _Broken(Exception):
    """What is wrong with the file."""


class _Reader:
    """A place in the file that moves forward."""

    def __init__(self, content: mmap.mmap) -> None:
        self._content, self._size, self._at = content, len(content), 0

    def arrays(self) -> dict[str, Tensor]:
        if self._take(len(LIST)) != LIST:
            raise _Broken("not the beginning of one")
        arrays = [self._array() for _ in range(self._count(smallest=4, of="arrays"))]
        names = [self._name() for _ in range(self._count(smallest=8, of="names"))]
        if len(names) != len(arrays):
            raise _Broken(f"{len(arrays)} arrays, but {len(names)} names")
        if len(set(names)) != len(names):
            raise _Broken("a name occurs twice")
        if self._at != self._size:
            raise _Broken(f"{self._size - self._at} bytes after its end")
        return dict(zip(names, arrays, strict=True))

    def _array(self) -> Tensor:
        begun = self._at
        first = self._number("I")
        if first in (V2, NUMPY) and (storage := self._number("i")) != DENSE:
            raise _Broken(
                f"byte {begun}: an array of storage type {storage}; only dense ones (0) hold weights"
            )
        known = first in (V1, V2, NUMPY)
        dimensions = self._number("I") if known else first
        if dimensions > MOST_DIMENSIONS:
            raise _Broken(f"byte {begun}: an array of {dimensions} dimensions")
        if dimensions == 0 and first != NUMPY:
            raise _Broken(f"byte {begun}: an array that was never filled")
        item = "q" if known else "I"
        shape = struct.unpack(f"<{dimensions}{item}", self._take(dimensions * struct.calcsize(f"<{item}")))
        self._take(8)  # device
        kind = self._number("i")
        if kind not in TYPES:
            raise _Broken(f"byte {begun}: an array of unknown type {kind}")
        return self._values(begun, shape, TYPES[kind])

    def _values(self, begun: int, shape: tuple[int, ...], kind: torch.dtype) -> Tensor:
        left = (self._size - self._at) // kind.itemsize
        # Also for empty arrays: no side may be longer than the file.
        if any(side < 0 for side in shape) or math.prod(side or 1 for side in shape) > max(left, 1):
            raise _Broken(f"byte {begun}: an array of shape {shape}, but {left} values are left")
        if 0 in shape:
            return torch.empty(shape, dtype=kind)
        count = math.prod(shape)
        at = self._skip(count * kind.itemsize)
        if kind is torch.bool:  # bytes other than 0 and 1 are not valid in a bool tensor
            return torch.frombuffer(self._content, dtype=torch.uint8, count=count, offset=at).view(shape) != 0
        return torch.frombuffer(self._content, dtype=kind, count=count, offset=at).view(shape).clone()

    def _name(self) -> str:
        text = self._take(self._number("Q"))
        try:
            return text.decode()
        except UnicodeDecodeError:
            raise _Broken(f"byte {self._at - len(text)}: a name that is not text") from None

    def _count(self, *, smallest: int, of: str) -> int:
        """A count of items of at least `smallest` bytes each."""
        count = self._number("Q")
        if count > (self._size - self._at) // smallest:
            raise _Broken(f"{count} {of}, but {self._size - self._at} bytes are left")
        return count

    def _number(self, form: str) -> int:
        (number,) = struct.unpack(f"<{form}", self._take(struct.calcsize(f"<{form}")))
        return int(number)

    def _take(self, length: int) -> bytes:
        at = self._skip(length)
        return self._content[at : at + length]

    def _skip(self, length: int) -> int:
        """Where the next `length` bytes begin; moves past them."""
        if length > self._size - self._at:
            raise _Broken(f"cut short: {length} bytes expected at byte {self._at} of {self._size}")
        self._at += length
        return self._at - length
