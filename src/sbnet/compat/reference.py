"""Weights of other implementations into a network, strictly."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sbnet.compat.names import our_name, rename
from sbnet.compat.state_file import FLOATS, LISTED, WHOLE, read_state, short
from sbnet.errors import SBNetError

# Of batch norm. Files of old PyTorch lack it, and frozen batch norms do not use it.
COUNTER = "num_batches_tracked"


class Loaded(NamedTuple):
    """added: what was added to the file's tensors. ignored: names in the file -> why they are not used."""

    added: tuple[str, ...]
    ignored: dict[str, str]


def load_reference(model: nn.Module, state: Mapping[str, Tensor] | Path | str) -> Loaded:
    """Load a state dict of another implementation, or a file of one, into `model`, in place and strictly.

    A classifier without a background channel (PSA's, IRN's) gets one of zeros; batch norm's counters may be missing.
    Raises SBNetError that lists every missing, unexpected and misshaped name, and tensors of whole or complex numbers
    where the network has floats; the model is then unchanged. A pickle of anything but tensors is refused, not
    executed.
    """
    source = "the state dict"
    if not isinstance(state, Mapping):
        source, state = str(state), read_state(state)
    given, ignored = rename(state)
    added = _add_background(given, model)
    missing, unexpected, wrong = compare(model, given)
    problems = [
        *(f"missing {name}" for name in missing),
        *(f"unexpected {name}" for name in unexpected),
        *wrong,
    ]
    if problems:
        raise SBNetError(
            f"{source} does not fit {getattr(model, 'name', type(model).__name__)} ({len(problems)} names): "
            f"{'; '.join(problems)}; choose the network that the weights were saved from"
        )
    load_named(model, given)
    if counters := len(model.state_dict()) - len(given):
        added = (*added, f"{counters} counters of batch norm, which are not used")
    return Loaded(added, ignored)


def compare(module: nn.Module, given: Mapping[str, Tensor]) -> tuple[list[str], list[str], list[str]]:
    """Of tensors by our names: those of `module` that `given` lacks, but for counters of batch norm; those that the
    module lacks; `misfits`.
    """
    own = {our_name(name): value for name, value in module.state_dict().items()}
    missing = [name for name in own if name not in given and not name.endswith(COUNTER)]
    return missing, [name for name in given if name not in own], misfits(given, own)


def load_named(module: nn.Module, given: Mapping[str, Tensor]) -> None:
    """Load those of `given`, by our names, that `module` has."""
    own = {name: our_name(name) for name in module.state_dict()}
    module.load_state_dict({name: given[ours] for name, ours in own.items() if ours in given}, strict=False)


def _add_background(given: dict[str, Tensor], model: nn.Module) -> tuple[str, ...]:
    """A first row of zeros where the classifier has foreground classes only. Changes `given`."""
    name = "fc8.weight"
    weight, expected = given.get(name), model.state_dict().get(name)
    if weight is None or expected is None:
        return ()
    if weight.shape[1:] != expected.shape[1:] or len(weight) + 1 != len(expected):
        return ()
    given[name] = torch.cat([torch.zeros_like(weight[:1]), weight])
    return ("a background channel of zeros; its CAM is never used",)


def misfits(given: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> list[str]:
    """'NAME is SHAPE, not SHAPE', or TYPE, for those of `given` that do not fit the tensors `own` of the same names.

    Floats fit everywhere, in any precision; whole numbers only where the network has whole numbers.
    """
    found = []
    for name in given.keys() & own.keys():
        theirs, ours = given[name], own[name]
        if theirs.shape != ours.shape:
            found.append(f"{name} is {tuple(theirs.shape)}, not {tuple(ours.shape)}")
        elif theirs.dtype not in (FLOATS if ours.is_floating_point() else (*FLOATS, *WHOLE)):
            found.append(f"{name} is {short(theirs.dtype)}, not {short(ours.dtype)}")
    return sorted(found)


def check_finite(source: Path | str, module: nn.Module) -> None:
    """Raises SBNetError where `module`, loaded from `source`, holds NaN, infinity, or values too large for its
    precision.
    """
    floats = ((name, value) for name, value in module.state_dict().items() if value.is_floating_point())
    bad = [our_name(name) for name, value in floats if not bool(value.isfinite().all())]
    if bad:
        more = f" and {len(bad) - LISTED} more" if len(bad) > LISTED else ""
        raise SBNetError(
            f"{source}: values that are not finite in {', '.join(bad[:LISTED])}{more}; download it again"
        )
