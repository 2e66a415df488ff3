"""State dicts from weights files of any origin; nothing in a file is executed.

A file of a few bytes can claim a tensor of any size: one value repeated by a stride of 0, a sparse tensor, or one on
the device `meta`, which has no values. Such tensors are refused.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from sbnet.compat.mxnet_file import is_mxnet_file, read_mxnet
from sbnet.compat.names import Weights, without_parallel
from sbnet.errors import SBNetError

logger = logging.getLogger(__name__)

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
WHOLE = (
    *(torch.int8, torch.int16, torch.int32, torch.int64),
    *(torch.uint8, torch.uint16, torch.uint32, torch.uint64),
)
TYPES = (*FLOATS, *WHOLE, torch.bool)
LISTED = 5  # tensors in a message


def read_state(path: Path | str) -> dict[str, Tensor]:
    """The tensors of `read_weights`; a warning names what else the file holds."""
    tensors, ignored = read_weights(path)
    if ignored:
        logger.warning("%s: ignored, not part of the state dict: %s", path, ", ".join(ignored))
    return tensors


def read_weights(path: Path | str) -> Weights:
    """The tensors of a .safetensors file, a .pth of plain tensors, or MXNet's .params.

    A 'state_dict' or 'model' entry is unwrapped and DataParallel's 'module.' dropped. Raises SBNetError for a missing
    or damaged file, one without tensors, two names that become one, tensors that are not dense arrays of real numbers,
    and a pickle of anything but tensors, which is not executed.
    """
    path = Path(path)
    if not path.is_file():
        raise SBNetError(f"{path}: no such weights file; check the path")
    state = _read(path)
    ignored: dict[str, str] = {}
    for key in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            ignored |= {str(name): f"next to '{key}' in the file" for name in state if name != key}
            state = state[key]
    tensors: dict[str, Tensor] = {}
    for name, value in state.items() if isinstance(state, dict) else ():
        if isinstance(name, str) and isinstance(value, Tensor):
            tensors[name] = value
        else:
            ignored[str(name)] = "not a named tensor"
    if not tensors:
        raise SBNetError(f"{path}: no named tensors; give a state dict (.safetensors, or .pth of tensors)")
    _check_dense(path, tensors)
    try:
        return Weights(without_parallel(tensors), ignored)
    except SBNetError as error:
        raise SBNetError(f"{path}: {error}") from error


def _check_dense(source: Path | str, tensors: Mapping[str, Tensor]) -> None:
    """Raises SBNetError for a tensor that is not a dense array of real numbers with all its values in the file.

    No values are read, so no more memory is used than the file has bytes.
    """
    strange = [f"{name} is {why}" for name, value in tensors.items() if (why := _strangeness(value))]
    if strange:
        more = f"; and {len(strange) - LISTED} more" if len(strange) > LISTED else ""
        raise SBNetError(
            f"{source}: refused: {'; '.join(strange[:LISTED])}{more}; weights must be dense arrays of real numbers: "
            "save contiguous copies of them from the CPU"
        )


def _strangeness(value: Tensor) -> str:
    """Why this tensor cannot be a weight; '' where it can."""
    if value.layout is not torch.strided:
        return f"sparse ({short(value.layout)})"
    if value.device.type != "cpu":
        return f"without values (device {value.device})"
    if value.dtype not in TYPES:
        return f"of type {short(value.dtype)}"
    stored = value.untyped_storage().nbytes()
    if value.numel() * value.element_size() > stored:
        return f"{tuple(value.shape)} out of {stored} bytes"
    return ""


def short(kind: torch.dtype | torch.layout) -> str:
    return str(kind).removeprefix("torch.")


def _read(path: Path) -> object:
    if path.suffix.lower() == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError, ValueError) as error:
            raise SBNetError(
                f"{path}: damaged safetensors file ({error}); download or write it again"
            ) from error
    try:
        mxnet = is_mxnet_file(path)
    except OSError as error:
        raise SBNetError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    return read_mxnet(path) if mxnet else load_pickle(path, path)


def load_pickle(file: Path | BinaryIO, name: Path | str) -> object:
    """The tensors in a file of PyTorch's, `name` in messages. Raises SBNetError for a pickle of anything else."""
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle makes torch.load raise anything
        # Of torch's message only the name: the rest advises to load the file all the same.
        named = re.search(r"GLOBAL `?([\w.]+)", str(error))
        reason = f"it names {named[1]}" if named else type(error).__name__
        raise SBNetError(
            f"{name}: refused: damaged, or a pickle of more than tensors, which could run code ({reason}); "
            "download it again, or convert it to .safetensors if you trust its origin"
        ) from error
