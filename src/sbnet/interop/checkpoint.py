"""Our own networks as files: safetensors, with what it takes to build the network again in the header."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from .. import models
from ..data.files import atomic_write
from ..errors import SBNetError

FORMAT = "1"


def save_model(model: models.Network, path: Path | str, *, meta: dict[str, Any]) -> None:
    """Write `model`, as `models.build` made it, and `meta` (what JSON can hold) to `path`.

    Written beside and renamed, so that a file that exists is whole. Raises SBNetError where that fails.
    """
    path = Path(path)
    header = {
        "format": FORMAT,
        "name": model.name,
        "classes": model.classes,
        "options": model.options,
        "normalization": dataclasses.asdict(model.normalization),
        "meta": meta,
    }
    # safetensors takes no channels-last tensors.
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    try:
        with atomic_write(path, durable=True) as temporary:
            temporary.touch()
            usual = temporary.stat().st_mode  # safetensors lets nobody else read its files
            save_file(tensors, temporary, metadata={"sbnet": json.dumps(header)})
            temporary.chmod(usual)
    except (OSError, SafetensorError) as error:
        raise SBNetError(
            f"{path}: cannot be written ({error}); free some space or choose another folder"
        ) from error


def load_model(path: Path | str) -> tuple[models.Network, dict[str, Any]]:
    """The network of a `save_model` file, on the CPU, in eval mode, and its `meta`.

    Needs no other file. Raises SBNetError for a file that is missing, broken or not ours.
    """
    path = Path(path)
    if not path.is_file():
        raise SBNetError(
            f"{path}: no such model file; give a file that sbnet wrote, such as RUN/train_segmenter/model.safetensors"
        )
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})["sbnet"])
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        name, classes, options = header["name"], int(header["classes"]), dict(header["options"])
        kept = header["normalization"]
        normalization = models.Normalization(
            tuple(kept["mean"]), tuple(kept["std"]), kept["scale"], kept["bgr"]
        )
        meta = dict(header["meta"])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise SBNetError(
            f"{path}: not a model written by sbnet, or a damaged one ({type(error).__name__}: {error}); "
            "train it again, or give weights of other origin as weights=file:PATH"
        ) from error
    if header.get("format") != FORMAT:
        raise SBNetError(
            f"{path}: format {header.get('format')} is not {FORMAT}; use the sbnet that wrote it"
        )
    model = models.build(name, classes, weights="none", **options)
    expected = {key: value.shape for key, value in model.state_dict().items()}
    if expected != {key: value.shape for key, value in state.items()}:
        raise SBNetError(f"{path}: its tensors are not those of {name}; use the sbnet version that wrote it")
    model.load_state_dict(state)
    model.normalization = normalization  # as trained, whatever timm says of this backbone by now
    return model.eval(), meta
