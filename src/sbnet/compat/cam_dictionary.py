"""The CAM files of SEAM, SBNet, PSA and IRN: NumPy files of one pickled dictionary.

SEAM, SBNet, PSA       {class from 0: (H, W) float32}; class 0 is the first after background
their CRF's marginals  {0: background, class from 1: (H, W) float32}
IRN                    {"keys": classes from 0, "cam": (K, h, w), "high_res": (K, H, W)}
"""

from __future__ import annotations

import io
import pickle
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sbnet.data.io.files import write_bytes
from sbnet.errors import SBNetError
from sbnet.compat.array_pickle import Array, unpickle_arrays

MOST_ENTRIES = 255  # classes, with background


def read_dictionary(path: Path | str) -> dict[int | str, np.ndarray]:
    """The arrays of such a file by their keys. Raises SBNetError for a file that is anything else; no code runs."""
    path = Path(path)
    try:
        return _entries(unpickle_arrays(_pickle_of(path.read_bytes())))
    except FileNotFoundError:
        raise SBNetError(f"{path}: there is no such file; check the name and the folder") from None
    except Exception as error:  # what a broken or hostile pickle makes the unpickler raise
        reason = str(error) or type(error).__name__
        raise SBNetError(
            f"{path}: refused: no whole dictionary of arrays such as np.save makes of CAMs ({reason}); write it again"
        ) from error


def write_dictionary(path: Path | str, arrays: Mapping[int, np.ndarray]) -> None:
    """{whole number: float32 array} as `np.save` of a dictionary writes it, for `np.load(allow_pickle=True).item()`.

    The pickle is put together here, as NumPy 2's own has names that NumPy 1, which the reference's scripts use, does
    not know.
    """
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|O", "fortran_order": False, "shape": ()})
    items = b"".join(_integer(key) + _array(np.asarray(array, "<f4")) for key, array in arrays.items())
    content = pickle.EMPTY_DICT + pickle.MARK + items + pickle.SETITEMS
    write_bytes(path, header.getvalue() + pickle.PROTO + b"\x03" + _object_array(content) + pickle.STOP)


def _pickle_of(content: bytes) -> bytes:
    """What follows the NumPy header of one object."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, _, kind = np.lib.format.read_array_header_1_0(file)
    else:
        shape, _, kind = np.lib.format.read_array_header_2_0(file)
    if shape != () or kind != np.dtype(object):
        raise ValueError(f"it holds {kind} of shape {shape}")
    return content[file.tell() :]


def _entries(loaded: Any) -> dict[int | str, np.ndarray]:
    found = loaded.value if isinstance(loaded, Array) else None
    if not isinstance(found, dict) or len(found) > MOST_ENTRIES:
        raise ValueError("it is no dictionary of classes")
    entries: dict[int | str, np.ndarray] = {}
    for key, value in found.items():
        array = value.value if isinstance(value, Array) else None
        if type(key) not in (int, str) or not isinstance(array, np.ndarray):
            raise ValueError(f"the entry {key!r:.40} is no array under a whole number or a word")
        entries[key] = array
    return entries


def _object_array(content: bytes) -> bytes:
    """The pickle of an array of one object, whose own pickle is `content`."""
    state = _integer(1) + pickle.EMPTY_TUPLE + _type(b"O8", b"|", 63) + pickle.NEWFALSE
    return (
        _reconstruct()
        + pickle.MARK
        + state
        + pickle.EMPTY_LIST
        + content
        + pickle.APPEND
        + pickle.TUPLE
        + pickle.BUILD
    )


def _array(array: np.ndarray) -> bytes:
    shape = pickle.MARK + b"".join(_integer(side) for side in array.shape) + pickle.TUPLE
    values = pickle.BINBYTES + struct.pack("<I", array.nbytes) + array.tobytes()
    state = _integer(1) + shape + _type(b"f4", b"<", 0) + pickle.NEWFALSE + values
    return _reconstruct() + pickle.MARK + state + pickle.TUPLE + pickle.BUILD


def _reconstruct() -> bytes:
    """An array to be filled."""
    name = pickle.GLOBAL + b"numpy.core.multiarray\n_reconstruct\n"
    arguments = (
        pickle.GLOBAL + b"numpy\nndarray\n" + _integer(0) + pickle.TUPLE1 + _bytes(b"b") + pickle.TUPLE3
    )
    return name + arguments + pickle.REDUCE


def _type(code: bytes, order: bytes, flags: int) -> bytes:
    made = pickle.GLOBAL + b"numpy\ndtype\n" + _text(code) + pickle.NEWFALSE + pickle.NEWTRUE + pickle.TUPLE3
    state = _integer(3) + _text(order) + 3 * pickle.NONE + 2 * _integer(-1) + _integer(flags)
    return made + pickle.REDUCE + pickle.MARK + state + pickle.TUPLE + pickle.BUILD


def _integer(value: int) -> bytes:
    return pickle.BININT + struct.pack("<i", value)


def _text(value: bytes) -> bytes:
    return pickle.BINUNICODE + struct.pack("<I", len(value)) + value


def _bytes(value: bytes) -> bytes:
    return pickle.SHORT_BINBYTES + bytes([len(value)]) + value
