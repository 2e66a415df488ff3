"""The reference implementations' weights into our networks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from ..errors import SBNetError
from .state_file import read_state


def reference_name(name: str) -> str:
    """The reference's name of our parameter or buffer `name`.

    The names are the reference's, but for where they hang: its CAM and affinity networks *are* the backbone,
    with the heads beside, and its DeepLab keeps both in 'base.', which `load_reference` drops.
    """
    return name.removeprefix("backbone.")


def load_reference(model: nn.Module, state: Mapping[str, Tensor] | Path | str) -> None:
    """A reference state dict, or a file of one, into `model`, in place and strictly.

    Raises SBNetError that lists every missing, unexpected and misshaped name; the model is then unchanged. A
    pickle with anything but tensors in it is refused, not executed.
    """
    source = "the state dict"
    if not isinstance(state, Mapping):
        source, state = str(state), read_state(state)
    given = {name.removeprefix("module.").removeprefix("base."): value for name, value in state.items()}
    own = {reference_name(name): name for name in model.state_dict()}
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    problems = [f"missing {name}" for name in own if name not in given]
    problems += [f"unexpected {name}" for name in given if name not in own]
    problems += [
        f"{name} is {tuple(given[name].shape)}, not {shapes[target]}"
        for name, target in own.items()
        if name in given and tuple(given[name].shape) != shapes[target]
    ]
    if problems:
        raise SBNetError(
            f"{source} does not fit {getattr(model, 'name', type(model).__name__)} ({len(problems)} names): "
            f"{'; '.join(problems)}; build the network that the weights were saved from"
        )
    model.load_state_dict({target: given[name] for name, target in own.items()}, strict=True)
