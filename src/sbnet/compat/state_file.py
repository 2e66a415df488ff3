"""State dicts from files of any origin, read without ever executing what is in them."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from sbnet.errors import SBNetError
from sbnet.compat.mxnet_file import is_mxnet_file, read_mxnet
from sbnet.compat.tensors import check_dense
from sbnet.compat.unique_names import without_parallel

logger = logging.getLogger(__name__)


class Weights(NamedTuple):
    """tensors: by name, on the CPU. left_out: names in the file -> why they are not among them."""

    tensors: dict[str, Tensor]
    left_out: dict[str, str]


def read_state(path: Path | str) -> dict[str, Tensor]:
    """`read_weights`' tensors; what else the file holds is told in a warning."""
    tensors, left_out = read_weights(path)
    if left_out:
        logger.warning("%s: not used, as it is none of the state's tensors: %s", path, ", ".join(left_out))
    return tensors


def read_weights(path: Path | str) -> Weights:
    """The tensors of a .safetensors file, a .pth of plain tensors, or MXNet's .params.

    A 'state_dict' or 'model' entry is unwrapped and DataParallel's 'module.' dropped. Raises SBNetError for a
    missing or broken file, one without tensors, one in which two names are then one, tensors that are no dense arrays
    of real numbers, and a pickle with anything but tensors in it: that one is not executed.
    """
    path = Path(path)
    if not path.is_file():
        raise SBNetError(f"{path}: no such weights file; check the path")
    state = _read(path)
    left_out: dict[str, str] = {}
    for key in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            left_out |= {str(name): f"beside '{key}' in the file" for name in state if name != key}
            state = state[key]
    tensors: dict[str, Tensor] = {}
    for name, value in state.items() if isinstance(state, dict) else ():
        if isinstance(name, str) and isinstance(value, Tensor):
            tensors[name] = value
        else:
            left_out[str(name)] = "no named tensor"
    if not tensors:
        raise SBNetError(
            f"{path}: holds no named tensors; give a state dict (.safetensors, or .pth of tensors)"
        )
    check_dense(path, tensors)
    try:
        return Weights(without_parallel(tensors), left_out)
    except SBNetError as error:
        raise SBNetError(f"{path}: {error}") from error


def _read(path: Path) -> object:
    if path.suffix.lower() == ".safetensors":
        return _read_safetensors(path)
    try:
        listed = is_mxnet_file(path)
    except OSError as error:
        raise SBNetError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    return read_mxnet(path) if listed else _read_pickle(path)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise SBNetError(
            f"{path}: not a whole safetensors file ({error}); fetch or write it again"
        ) from error


def _read_pickle(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises what the broken pickle makes it raise
        # Of torch's message only the name: the rest advises to load the file all the same.
        named = re.search(r"GLOBAL `?([\w.]+)", str(error))
        reason = f"it names {named[1]}" if named else type(error).__name__
        raise SBNetError(
            f"{path}: refused: damaged, or a pickle of more than tensors, which could run code ({reason}); "
            "fetch it again, or convert it to .safetensors where you trust its origin"
        ) from error
