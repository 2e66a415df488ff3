"""The typed files that pass between steps: one reader and one writer each, no pickle.

Every writer fills a temporary file beside the target and renames it: a file that exists is whole. Readers raise
`SBNetError` for a missing, truncated or foreign file. Shapes: K classes, H x W pixels.
"""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import secrets
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from sbnet.data import IGNORE
from sbnet.data.io.image import read_mask
from sbnet.data.io.palette import PALETTE
from sbnet.errors import FREE_SPACE, REMEDIES, SBNetError


class Scores(NamedTuple):
    """`scores` (K, H, W) float32 in [0, 1], `classes` (K,) int64 whole-dataset ids of its channels."""

    scores: np.ndarray
    classes: np.ndarray


@contextmanager
def atomic_write(path: str | Path, *, durable: bool = False) -> Iterator[Path]:
    """A temporary path to write to; it becomes `path` when the block ends and vanishes when it fails.

    Missing folders are made. durable: wait until the disk has it, in case of a power cut. Raises `SBNetError` where the
    disk is full or the file cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if durable:
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except SBNetError:
        raise
    except Exception as error:
        if _is_disk_full(error, temporary):
            raise SBNetError(f"disk full at {path}: {FREE_SPACE}; finished work is kept") from error
        if isinstance(error, OSError) and error.errno:
            remedy = REMEDIES.get(error.errno, "choose another folder")
            raise SBNetError(f"{path} cannot be written ({error}): {remedy}") from error
        raise
    finally:
        with suppress(OSError):
            temporary.unlink()


def check_output(out: str | Path, inputs: Iterable[str | Path | None]) -> None:
    """Raises `SBNetError` where the file `out` is also one of `inputs`, by whatever name or link."""
    out = Path(out)
    for path in inputs if out.exists() else ():
        if path is not None and Path(path).exists() and out.samefile(path):
            named = "" if out == Path(path) else f", which is {path},"
            raise SBNetError(f"{out}{named} is an input and would be overwritten: choose another output")


def write_bytes(path: str | Path, data: bytes) -> None:
    """`data` as a file; raises as `atomic_write` does."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)


def write_scores(path: str | Path, scores: np.ndarray, classes: np.ndarray) -> None:
    """Scores (K, H, W) in [0, 1] with their class ids (K,), kept as float16. Raises `SBNetError` for NaN and infinity."""
    scores, classes = np.asarray(scores), np.asarray(classes, np.int64)
    if scores.ndim != 3 or classes.shape != scores.shape[:1]:
        raise ValueError(f"scores {scores.shape} and classes {classes.shape} are not (K, H, W) and (K,)")
    if not np.isfinite(scores).all():
        ids = classes[~np.isfinite(scores).all((1, 2))].tolist()
        raise SBNetError(
            f"{path}: not written: scores of class {', '.join(map(str, ids))} are not finite, so the network's output "
            "overflows or its weights are damaged; set runtime.precision=32, or train it again"
        )
    buffer = io.BytesIO()
    # Not compressed: zlib saves a third of the bytes and takes ten times as long.
    np.savez(buffer, scores=scores.astype(np.float16), classes=classes)
    write_bytes(path, buffer.getvalue())


def read_scores(path: str | Path) -> Scores:
    """What `write_scores` wrote."""
    with _whole(path, "scores"), np.load(path, allow_pickle=False) as arrays:
        scores, classes = arrays["scores"], arrays["classes"]
        if scores.ndim != 3 or classes.shape != scores.shape[:1] or scores.dtype != np.float16:
            raise ValueError(f"scores {scores.dtype} {scores.shape}, classes {classes.shape}")
        if classes.dtype.kind not in "iu" or any(not 0 < number < IGNORE for number in classes.tolist()):
            raise ValueError(f"class ids {classes.tolist()[:9]}, which must be 1 to {IGNORE - 1}")
        return Scores(scores.astype(np.float32), classes.astype(np.int64))


def write_label(path: str | Path, label: np.ndarray) -> None:
    """Seeds or mask (H, W) uint8 as a PNG with VOC's palette."""
    write_bytes(path, encode_label(label))


def encode_label(label: np.ndarray) -> bytes:
    """The PNG that `write_label` writes."""
    label = np.asarray(label)
    if label.ndim != 2 or label.dtype != np.uint8:
        raise ValueError(f"a label is (H, W) uint8, not {label.shape} {label.dtype}")
    image = Image.fromarray(label)
    image.putpalette(PALETTE.tobytes())
    return _png(image)


def read_label(path: str | Path) -> np.ndarray:
    """What `write_label` wrote."""
    try:
        return read_mask(path, classes=256)
    except SBNetError as error:
        raise SBNetError(f"{error}; if a run wrote it, delete it and run again") from error


def write_grey(path: str | Path, values: np.ndarray) -> None:
    """Grey picture (H, W) uint8 as PNG."""
    write_bytes(path, _png(Image.fromarray(values)))


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "png")
    return buffer.getvalue()


def write_table(path: str | Path, rows: Iterable[Sequence[Any]]) -> None:
    """Rows as a CSV file; the first is the heading."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    write_bytes(path, buffer.getvalue().encode())


def write_json(path: str | Path, data: Any) -> None:
    """`data` as indented JSON; NaN and infinity, which JSON lacks, are a `ValueError`."""
    write_bytes(path, (json.dumps(data, indent=2, allow_nan=False) + "\n").encode())


def read_json(path: str | Path) -> Any:
    """What `write_json` wrote."""
    with _whole(path, "JSON"):
        return json.loads(Path(path).read_text(encoding="utf-8"))


def stored_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file that can be made again: empty where the file is missing or broken."""
    try:
        content = read_json(path)
    except SBNetError:
        return {}
    return content if isinstance(content, dict) else {}


@contextmanager
def _whole(path: str | Path, what: str) -> Iterator[None]:
    """Turns whatever a broken file raises into an `SBNetError` with the remedy."""
    try:
        yield
    except FileNotFoundError:
        raise SBNetError(f"{path}: there is no such {what} file: run the step that writes it") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise SBNetError(f"{path}: not a complete {what} file ({error}): delete it and run again") from error


def _is_disk_full(error: Exception, temporary: Path) -> bool:
    """Some writers lose the error number: safetensors keeps its words; after Pillow's encoders and torch.save only the
    disk tells, while the unfinished file still fills it.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        cause = cause.__cause__ or cause.__context__
    if os.strerror(errno.ENOSPC) in str(error):
        return True
    return os.path.exists(temporary) and shutil.disk_usage(temporary).free < 4096
