"""State dicts from files of any origin, read without ever executing what is in them."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..errors import SBNetError
from .mxnet_file import is_mxnet_file, read_mxnet


def read_state(path: Path | str) -> dict[str, Tensor]:
    """The tensors of a .safetensors file, a .pth of plain tensors, or MXNet's .params, by name, on the CPU.

    A 'state_dict' or 'model' entry is unwrapped and DataParallel's 'module.' dropped. Raises SBNetError for a
    missing or broken file, one without tensors, and a pickle with anything but tensors in it: that one is not
    executed.
    """
    path = Path(path)
    if not path.is_file():
        raise SBNetError(f"{path}: no such weights file; check the path")
    state = _read(path)
    for key in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
    if not isinstance(state, dict) or not any(isinstance(value, Tensor) for value in state.values()):
        raise SBNetError(
            f"{path}: holds no named tensors; give a state dict (.safetensors, or .pth of tensors)"
        )
    return {
        str(name).removeprefix("module."): value for name, value in state.items() if isinstance(value, Tensor)
    }


def _read(path: Path) -> object:
    if path.suffix == ".safetensors":
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
