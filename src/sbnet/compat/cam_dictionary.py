"""The CAM files of SEAM, SBNet, PSA and IRN: NumPy files of one pickled dictionary.

SEAM, SBNet, PSA       {class from 0: (H, W) float32}; class 0 is the first after background
their CRF's marginals  {0: background, class from 1: (H, W) float32}
IRN                    {"keys": classes from 0 (K,), "cam": (K, h, w), "high_res": (K, H, W)}
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sbnet.compat.array_pickle import Array, unpickle_arrays
from sbnet.data.io.files import write_bytes
from sbnet.errors import SBNetError

MOST_ENTRIES = 255  # classes, with background


def read_dictionary(path: Path | str) -> dict[int | str, np.ndarray]:
    """The arrays of such a file by key. Raises SBNetError for any other file; no code in it runs."""
    path = Path(path)
    try:
        return _entries(unpickle_arrays(_pickle_of(path.read_bytes())))
    except FileNotFoundError:
        raise SBNetError(f"{path}: no such file; check the path") from None
    except Exception as error:  # what a broken or hostile pickle makes the unpickler raise
        reason = str(error) or type(error).__name__
        raise SBNetError(
            f"{path}: refused: not a dictionary of CAMs as np.save writes it, or damaged ({reason}); write it again"
        ) from error


def write_dictionary(path: Path | str, arrays: Mapping[int, np.ndarray]) -> None:
    """{whole number: float32 array} as `np.save` of a dictionary writes it, for `np.load(allow_pickle=True).item()`."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|O", "fortran_order": False, "shape": ()})
    content = {int(key): np.ascontiguousarray(array, "<f4") for key, array in arrays.items()}
    pickled = pickle.dumps(np.array(content, dtype=object), protocol=3)
    # The reference's scripts run NumPy 1, which has no `numpy._core`. It is named once, at the start of the pickle.
    write_bytes(path, header.getvalue() + pickled.replace(b"numpy._core.", b"numpy.core.", 1))


def _pickle_of(content: bytes) -> bytes:
    """What follows the NumPy header of one object."""
    file = io.BytesIO(content)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("another version of NumPy's format")
    shape, _, kind = np.lib.format.read_array_header_1_0(file)
    if shape != () or kind != np.dtype(object):
        raise ValueError(f"it holds {kind} of shape {shape}")
    return content[file.tell() :]


def _entries(loaded: Any) -> dict[int | str, np.ndarray]:
    found = loaded.value if isinstance(loaded, Array) else None
    if not isinstance(found, dict) or len(found) > MOST_ENTRIES:
        raise ValueError("not a dictionary of classes")
    entries: dict[int | str, np.ndarray] = {}
    for key, value in found.items():
        array = value.value if isinstance(value, Array) else None
        if type(key) not in (int, str) or not isinstance(array, np.ndarray):
            raise ValueError(f"the entry {key!r:.40} is not an array under a whole number or a word")
        entries[key] = array
    return entries
