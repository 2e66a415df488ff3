"""TIFFs of any bands and tags, which Pillow does not write."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

_FORMATS = {"u": 1, "i": 2, "f": 3}  # of SampleFormat


def write_tiff(
    path: Path,
    values: np.ndarray,
    *,
    photometric: int,
    extra: Sequence[int] | None = None,
    separate: bool = False,
    big_endian: bool = False,
    bits: int = 0,
    packed: bool = False,
    orientation: int = 1,
) -> Path:
    """values (H, W) or (H, W, bands). extra: ExtraSamples, None for no such tag. separate: one band after the other.
    bits: 12 packs values of one band, two in three bytes; 0 keeps them as they are. packed: compressed by PackBits, a
    run for each row, of 128 bytes at most. orientation: how the photo lies, as in EXIF.
    """
    height, width = values.shape[:2]
    bands = values.shape[2] if values.ndim == 3 else 1
    order = ">" if big_endian else "<"
    pixels = values.reshape(height, width, bands).astype(values.dtype.newbyteorder(order))
    if bits == 12:
        first, second = values[:, ::2].astype(int), values[:, 1::2].astype(int)
        triples = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], 2)
        planes = [triples.astype(np.uint8).tobytes()]
    else:
        parts = np.moveaxis(pixels, 2, 0) if separate else [pixels]
        planes = [b"".join(_run(row.tobytes(), packed) for row in part) for part in parts]
    offsets = [8 + sum(map(len, planes[:index])) for index in range(len(planes))]
    tags: dict[int, tuple[str, Sequence[int]]] = {
        256: ("H", [width]),
        257: ("H", [height]),
        258: ("H", [bits or values.dtype.itemsize * 8] * bands),
        259: ("H", [32773 if packed else 1]),
        262: ("H", [photometric]),
        273: ("I", offsets),
        274: ("H", [orientation]),
        277: ("H", [bands]),
        278: ("H", [height]),
        279: ("I", [len(plane) for plane in planes]),
        284: ("H", [2 if separate else 1]),
        339: ("H", [_FORMATS[values.dtype.kind]] * bands),
    }
    if extra is not None:
        tags[338] = ("H", list(extra))
    place = offsets[-1] + len(planes[-1])
    beyond, entries = place + 2 + 12 * len(tags) + 4, b""
    long = b""
    for tag, (kind, items) in sorted(tags.items()):
        data = struct.pack(f"{order}{len(items)}{kind}", *items)
        entries += struct.pack(f"{order}HHI", tag, {"H": 3, "I": 4}[kind], len(items))
        if len(data) <= 4:
            entries += data.ljust(4, b"\0")
        else:
            entries += struct.pack(f"{order}I", beyond + len(long))
            long += data
    head = (b"MM\0*" if big_endian else b"II*\0") + struct.pack(f"{order}I", place)
    folder = struct.pack(f"{order}H", len(tags)) + entries + struct.pack(f"{order}I", 0)
    path.write_bytes(head + b"".join(planes) + folder + long)
    return path


def _run(row: bytes, packed: bool) -> bytes:
    return bytes([len(row) - 1]) + row if packed else row
