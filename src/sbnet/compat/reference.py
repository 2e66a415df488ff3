"""The reference implementations' weights into our networks, and ours out under their names."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sbnet.errors import SBNetError
from sbnet.compat.reference_names import our_name, rename
from sbnet.compat.state_file import read_state
from sbnet.compat.tensors import misfits

COUNTER = (
    "num_batches_tracked"  # of batch norm; files of old PyTorch lack them, and frozen ones do not use them
)
# Parts of the CAM network that its ancestors do not have: SEAM no boundary head, PSA and IRN no pixel correlation.
CORRELATION = ("f8_3", "f8_4", "f9")
BOUNDARY = ("edge_layer", "fuse_canny_edge")


class Loaded(NamedTuple):
    """What came of a file. absent: parts of the network that it has nothing of, left as they were.
    added: what was made besides. left_out: names in the file -> why they are not used.
    """

    absent: tuple[str, ...]
    added: tuple[str, ...]
    left_out: dict[str, str]


def load_reference(
    model: nn.Module, state: Mapping[str, Tensor] | Path | str, *, optional: Collection[str] = ()
) -> Loaded:
    """A reference state dict, or a file of one, into `model`, in place and strictly.

    `optional`: direct children that may be missing as a whole. A classifier without a background channel (PSA's,
    IRN's) gets one of zeros; batch norm's counters may be missing.
    Raises SBNetError that lists every missing, unexpected and misshaped name, and tensors of whole or complex
    numbers where the network has others; the model is then unchanged. A pickle with anything but tensors in it is
    refused, not executed.
    """
    source = "the state dict"
    if not isinstance(state, Mapping):
        source, state = str(state), read_state(state)
    given, left_out = rename(state)
    own = {our_name(name): (name, value) for name, value in model.state_dict().items()}
    absent = tuple(part for part in optional if not any(_is_in(name, part) for name in given))
    added = _add_background(given, own)
    wanted = [name for name in own if not any(_is_in(name, part) for part in absent)]
    problems = [f"missing {name}" for name in wanted if name not in given and not name.endswith(COUNTER)]
    problems += [f"unexpected {name}" for name in given if name not in own]
    problems += misfits(given, {name: value for name, (_, value) in own.items()})
    if problems:
        raise SBNetError(
            f"{source} does not fit {getattr(model, 'name', type(model).__name__)} ({len(problems)} names): "
            f"{'; '.join(problems)}; build the network that the weights were saved from"
        )
    model.load_state_dict({own[name][0]: given[name] for name in wanted if name in given}, strict=False)
    counters = [name for name in wanted if name not in given]
    if counters:
        added = (*added, f"{len(counters)} counters of batch norm, which nothing uses")
    return Loaded(absent, added, left_out)


def _is_in(name: str, part: str) -> bool:
    return name.partition(".")[0] == part


def _add_background(given: dict[str, Tensor], own: Mapping[str, tuple[str, Tensor]]) -> tuple[str, ...]:
    """A first row of zeros where the classifier has foreground classes only. Changes `given`."""
    name = "fc8.weight"
    if name not in given or name not in own:
        return ()
    weight, expected = given[name], own[name][1]
    if weight.shape[1:] != expected.shape[1:] or len(weight) + 1 != len(expected):
        return ()
    given[name] = torch.cat([torch.zeros_like(weight[:1]), weight])
    return ("a background channel of zeros, which no CAM is taken from",)
