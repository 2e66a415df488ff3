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
import struct
from io import BufferedReader
from pathlib import Path

import torch
from torch import Tensor

from sbnet.errors import SBNetError

LIST = struct.pack("<QQ", 0x112, 0)
V1, V2, NUMPY = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
DENSE = 0
MOST_DIMENSIONS = 32  # NumPy's limit; MXNet's arrays have 6 at most
# By their number.
TYPES = (
    *(
        torch.float32,
        torch.float64,
        torch.float16,
        torch.uint8,
        torch.int32,
        torch.int8,
        torch.int64,
        torch.bool,
    ),
    *(torch.int16, torch.uint16, torch.uint32, torch.uint64, torch.bfloat16),
)


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
        with path.open("rb") as file:
            return _Reader(file, path.stat().st_size).arrays()
    except (_Broken, OSError, ValueError) as error:
        raise SBNetError(f"{path}: damaged MXNet parameter file ({error}); download it again") from error


class _Broken(Exception):
    """What is wrong with the file."""


class _Reader:
    """A file of `size` bytes, read from its beginning."""

    def __init__(self, file: BufferedReader, size: int) -> None:
        self._file, self._size = file, size

    def arrays(self) -> dict[str, Tensor]:
        if self._take(len(LIST)) != LIST:
            raise _Broken("not the beginning of one")
        arrays = [self._array() for _ in range(self._count(smallest=4, of="arrays"))]
        names = [self._name() for _ in range(self._count(smallest=8, of="names"))]
        if len(names) != len(arrays):
            raise _Broken(f"{len(arrays)} arrays, but {len(names)} names")
        if len(set(names)) != len(names):
            raise _Broken("a name occurs twice")
        if self._left():
            raise _Broken(f"{self._left()} bytes after its end")
        return dict(zip(names, arrays, strict=True))

    def _array(self) -> Tensor:
        place = f"byte {self._file.tell()}"
        (first,) = self._numbers("I")
        if first in (V2, NUMPY) and (storage := self._numbers("i")[0]) != DENSE:
            raise _Broken(f"{place}: an array of storage type {storage}; only dense ones (0) hold weights")
        legacy = first not in (V1, V2, NUMPY)
        dimensions = first if legacy else self._numbers("I")[0]
        if dimensions > MOST_DIMENSIONS:
            raise _Broken(f"{place}: an array of {dimensions} dimensions")
        if dimensions == 0 and first != NUMPY:
            raise _Broken(f"{place}: an array that was never filled")
        shape = self._numbers(f"{dimensions}{'I' if legacy else 'q'}")
        _device, _its_number, kind = self._numbers("iii")
        if not 0 <= kind < len(TYPES):
            raise _Broken(f"{place}: an array of unknown type {kind}")
        left = self._left() // TYPES[kind].itemsize
        # Also for empty arrays: no side may be longer than the file.
        if any(side < 0 for side in shape) or math.prod(side or 1 for side in shape) > left:
            raise _Broken(f"{place}: an array of shape {shape}, but {left} values are left")
        return self._values(shape, TYPES[kind])

    def _values(self, shape: tuple[int, ...], kind: torch.dtype) -> Tensor:
        if kind is torch.bool:  # bytes other than 0 and 1 are not valid in a bool tensor
            return self._values(shape, torch.uint8) != 0
        values = torch.empty(shape, dtype=kind)
        self._file.readinto(values.flatten().view(torch.uint8).numpy().data)
        return values

    def _name(self) -> str:
        place = self._file.tell()
        try:
            return self._take(self._numbers("Q")[0]).decode()
        except UnicodeDecodeError:
            raise _Broken(f"byte {place}: a name that is not text") from None

    def _count(self, *, smallest: int, of: str) -> int:
        """A count of items of at least `smallest` bytes each."""
        (count,) = self._numbers("Q")
        if count > self._left() // smallest:
            raise _Broken(f"{count} {of}, but {self._left()} bytes are left")
        return count

    def _numbers(self, form: str) -> tuple[int, ...]:
        return struct.unpack(f"<{form}", self._take(struct.calcsize(f"<{form}")))

    def _take(self, length: int) -> bytes:
        if length > self._left():
            at = self._file.tell()
            raise _Broken(f"cut short: {length} bytes expected at byte {at} of {self._size}")
        return self._file.read(length)

    def _left(self) -> int:
        return self._size - self._file.tell()
