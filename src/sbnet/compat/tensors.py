"""Tensors of foreign files: which can be weights at all, and which fit a network.

A file of a few bytes can stand for a tensor of any size: one value repeated by a stride of 0, a sparse tensor, or one
on the device `meta`, which has no values.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from sbnet.errors import SBNetError
from sbnet.compat.reference_names import our_name

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
WHOLE = (
    torch.int8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.uint8,
    torch.uint16,
    torch.uint32,
    torch.uint64,
)
TYPES = (*FLOATS, *WHOLE, torch.bool)
TOLD = 5  # of a file's tensors


def check_dense(source: Path | str, tensors: Mapping[str, Tensor]) -> None:
    """Raises SBNetError for a tensor that is no dense array of real numbers as long as what the file has of it.

    No value is looked at, so that nothing takes more memory than the file is long.
    """
    strange = [f"{name} is {why}" for name, value in tensors.items() if (why := _strangeness(value))]
    if strange:
        more = f"; and {len(strange) - TOLD} more" if len(strange) > TOLD else ""
        raise SBNetError(
            f"{source}: refused: {'; '.join(strange[:TOLD])}{more}; weights are whole arrays of real numbers: save "
            "them dense, on the CPU, each with values of its own"
        )


def _strangeness(value: Tensor) -> str:
    """Why it can be no weight; '' where it can."""
    if value.layout is not torch.strided:
        return f"sparse ({_word(value.layout)})"
    if value.device.type != "cpu":
        return f"without values (device {value.device})"
    if value.dtype not in TYPES:
        return f"of type {_word(value.dtype)}"
    stored = value.untyped_storage().nbytes()
    if value.numel() * value.element_size() > stored:
        return f"{tuple(value.shape)} out of {stored} bytes"
    return ""


def misfits(given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> list[str]:
    """'NAME is SHAPE, not SHAPE', or TYPE, for those of `given` that the tensors `own` of the same names cannot take.

    Floats go everywhere, in whatever precision; whole numbers only where there are such.
    """
    found = []
    for name in given.keys() & own.keys():
        theirs, ours = given[name], own[name]
        if theirs.shape != ours.shape:
            found.append(f"{name} is {tuple(theirs.shape)}, not {tuple(ours.shape)}")
        elif theirs.dtype not in (FLOATS if ours.is_floating_point() else (*FLOATS, *WHOLE)):
            found.append(f"{name} is {_word(theirs.dtype)}, not {_word(ours.dtype)}")
    return sorted(found)


def check_finite(source: Path | str, module: nn.Module) -> None:
    """Raises SBNetError where what `source` was loaded into holds values that are not finite: NaN, infinity, or what is
    too large for the module's precision.
    """
    bad = [
        our_name(name)
        for name, value in module.state_dict().items()
        if value.is_floating_point() and not bool(value.isfinite().all())
    ]
    if bad:
        more = f" and {len(bad) - TOLD} more" if len(bad) > TOLD else ""
        raise SBNetError(
            f"{source}: values that are not finite in {', '.join(bad[:TOLD])}{more}; fetch the file again"
        )


def _word(kind: torch.dtype | torch.layout) -> str:
    return str(kind).removeprefix("torch.")
