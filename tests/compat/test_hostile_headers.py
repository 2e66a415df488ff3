"""Headers of model files that may not be trusted: a value that no sbnet writes is refused, or the model predicts."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import sbnet
from sbnet.errors import SBNetError
from sbnet.networks import build as registry
from sbnet.networks.build import build
from sbnet.networks.model_file import save_model
from sbnet.settings import plain
from sbnet.steps.settings import PredictSettings

NAME = "deeplabv2-timm:test_efficientnet"
Place = tuple[str | int, ...]


class Model:
    """A small segmenter's file, which can be given another header."""

    def __init__(self, folder: Path) -> None:
        torch.manual_seed(0)
        self.path = folder / "model.safetensors"
        network = build(
            NAME, 3, weights="none", project=16, rates=[1, 2], scales=[1.0, 0.5], freeze=0, dilate=True
        )
        told = {
            "classes": ["background", "cat", "dog"],
            "predict": plain(PredictSettings(scales=(1.0, 0.5))),
            "recipe": {"data": {"white_level": 0.0}},
        }
        save_model(network, self.path, meta=told)
        with safe_open(self.path, framework="pt") as file:
            self.header: dict[str, Any] = json.loads(file.metadata()["sbnet"])
        self.tensors = load_file(self.path)
        self.photo = np.random.default_rng(0).integers(0, 256, (20, 27, 3), np.uint8)

    def with_value(self, place: Place, value: Any) -> Path:
        """The file with `value` in that place of its header."""
        header = copy.deepcopy(self.header)
        inner: Any = header
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = value
        save_file(self.tensors, self.path, metadata={"sbnet": json.dumps(header)})
        return self.path

    def masks(self) -> list[np.ndarray]:
        segmenter = sbnet.load(self.path, device="cpu")
        return [segmenter.mask(self.photo, crf=crf) for crf in (False, True)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(tmp_path_factory.mktemp("model"))


def places(value: Any, above: Place = ()) -> Iterator[Place]:
    """The place of every value in a header, those of lists and tables too."""
    entries = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for key, inner in entries:
        yield (*above, key)
        yield from places(inner, (*above, key))


def test_the_header_as_it_is(model: Model) -> None:
    for key, value in model.header.items():
        model.with_value((key,), value)
        for mask in model.masks():
            assert mask.shape == model.photo.shape[:2]
    assert len(list(places(model.header))) > 30


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("options", "scales"), [], r"scales=\[\]; .*at least 1 item"),
        (("options", "scales"), "x", "scales='x'; expected a valid"),
        (("options", "scales"), [1, "a"], "1='a'; expected a valid number"),
        (("options", "scales"), [1e6], "expected less than or equal to 16"),
        (("options", "scales"), [1, 5], "expected scales from 0.05 to 4, the first 1"),
        (("options", "scales"), [0.5, 1], "expected scales from 0.05 to 4, the first 1"),
        (("options", "rates"), [1] * 65, "at most 64 items"),
        (("options", "project"), True, "project=True; expected a valid integer"),
        (
            ("normalization", "scale"),
            0,
            "normalization.scale=0; expected greater than or equal to 0.000000001",
        ),
        (("normalization", "scale"), None, "scale=None"),
        (("normalization", "scale"), "x", "scale='x'"),
        (("normalization", "mean"), "x", "mean='x'; expected a valid"),
        (("normalization", "mean"), [0, 0], "normalization.mean.*required"),
        (("normalization", "std"), "x", "std='x'; expected"),
        (
            ("normalization", "std"),
            [1, 1, 0],
            "normalization.std.2=0; expected greater than or equal to 0.000001",
        ),
        (("normalization", "std"), [1, 1, float("nan")], "normalization.std.2=nan"),
        (("normalization", "bgr"), 1, "bgr=1; expected a valid boolean"),
        (("normalization",), {}, "normalization.mean.*required"),
        (("meta", "classes"), ["background"], "1 class names for 3 classes"),
        (("meta", "classes"), "abc", "classes='abc'; expected a valid array"),
        (("meta", "predict"), "x", "predict='x'; expected an object"),
        (("meta", "predict", "scales"), [], r"predict.scales is \[\]"),
        (("meta", "predict", "scales"), [1.0] * 17, r"predict.scales is \[1.0, .*at most 16"),
        (
            ("meta", "predict", "scales"),
            [1e200],
            "predict.scales is 1e\\+200; expected less than or equal to 16",
        ),
        (("meta", "predict", "scales"), [0], "predict.scales is 0; expected greater than 0"),
        (
            ("meta", "predict", "iterations"),
            10**18,
            "predict.iterations is 1000000000000000000; expected less than or equal to 1000",
        ),
        (("meta", "predict", "bilateral"), [10**400, 3, 4], "predict.bilateral"),
        (("classes",), 256, "classes=256; expected less than or equal to 255"),
        (("classes",), "3", "classes='3'"),
        (("name",), ["x"], "name="),
        (("format",), 1, "format 1, expected 1"),
    ],
)
def test_what_is_refused(model: Model, place: Place, value: Any, message: str) -> None:
    path = model.with_value(place, value)
    with pytest.raises(SBNetError, match=message) as refused:
        sbnet.load(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert len(str(refused.value)) < 700


numbers = st.integers() | st.floats() | st.sampled_from([0, 1, -1, 2, 64, 0.5, 1e6, 10**400, 1e308, 1e-308])
leaves = (
    st.none() | st.booleans() | numbers | st.text(max_size=5) | st.sampled_from(["x", "large_fov", "batch"])
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=60)
@given(data=st.data())
def test_any_value_in_any_place(model: Model, data: st.DataObject) -> None:
    place = data.draw(st.sampled_from(sorted(places(model.header), key=str)))
    kinds = {list: st.lists(numbers, max_size=4), dict: values}
    before: Any = model.header
    for key in place:
        before = before[key]
    model.with_value(place, data.draw(values | kinds.get(type(before), numbers)))
    try:
        masks = model.masks()
    except SBNetError:
        return
    for mask in masks:
        assert mask.shape == model.photo.shape[:2]
        assert mask.dtype == np.uint8
        assert mask.max() < 3


@pytest.mark.parametrize("name", ["deeplabv2-resnet101", "deeplabv2-timm:resnetv2_152x4_bit"])
def test_another_network_s_name_takes_no_memory(
    model: Model, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused before its backbone has any: the second one's weights are 3.7 GB."""
    path, build_backbone = model.with_value(("name",), name), registry.build_backbone

    def without_memory(*arguments: Any, **options: Any) -> Any:
        assert torch.empty(0).is_meta
        return build_backbone(*arguments, **options)

    monkeypatch.setattr(registry, "build_backbone", without_memory)
    with pytest.raises(SBNetError, match="its tensors are not those of the network"):
        sbnet.load(path)


def test_what_could_not_be_loaded_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(SBNetError, match=r"could not be loaded again \(2 class names for 3"):
        save_model(build(NAME, 3, weights="none"), path, meta={"classes": ["background", "cat"]})
    assert not path.exists()
