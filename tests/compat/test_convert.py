"""The reference implementations' weights in and out: every name accounted for, every byte kept."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from foreign_files import BOUNDARY, CORRELATION, irn_cam, mxnet_name, without
from sbnet.backbones.weights import fit_backbone
from sbnet.compat.names import our_name, rename
from sbnet.compat.origins import ORIGINS
from sbnet.compat.reference import load_reference
from sbnet.compat.state_file import read_state
from sbnet.data.datasets.labels import VOC_CLASSES
from sbnet.errors import SBNetError
from sbnet.networks.build import build, build_backbone
from sbnet.networks.foreign import convert_weights, write_reference
from sbnet.networks.model_file import load_model

# key of the origin -> the golden state that it is cut from, its parts that are cut away
KINDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "sbnet": ("sbnet", ()),
    "seam": ("sbnet", BOUNDARY),
    "psa": ("sbnet", (*BOUNDARY, *CORRELATION)),
    "affinity": ("affinitynet", ()),
    "deeplab": ("deeplabv2", ()),
}
RECIPES = {
    "sbnet": "voc12-resnet38",
    "seam": "voc12-resnet38-seam",
    "psa": "voc12-resnet38-psa",
    "irn": "voc12-resnet50-irn",
    "deeplab": "voc12-resnet38",
}
NAMES = ["background", "cat", "dog", "owl"]


def irn_state() -> dict[str, Tensor]:
    """IRN's resnet50_cam, no two of its tensors alike."""
    torch.manual_seed(0)
    resnet = build_backbone("timm:resnet50", weights="none").state_dict()
    return irn_cam({our_name(name): torch.randn(v.shape).to(v.dtype).abs() for name, v in resnet.items()})


@pytest.fixture(scope="module")
def reference(golden: Any) -> Any:
    """kind -> a state under the reference's names; the last one is kept."""
    kept: dict[str, dict[str, Tensor]] = {}

    def make(kind: str) -> dict[str, Tensor]:
        if kind == "irn":
            return irn_state()
        source, cut = KINDS[kind]
        if source not in kept:
            kept.clear()
            kept[source] = golden.state(source, 0)
        state = without(kept[source], *cut)
        if kind == "psa":
            state["fc8.weight"] = state["fc8.weight"][1:].clone()
        return state

    return make


@pytest.mark.parametrize("kind", [*KINDS, "irn"])
def test_round_trip(kind: str, reference: Any, tmp_path: Path) -> None:
    """The names in the file tell the network; its parts may be written, too."""
    state, name = reference(kind), ORIGINS[kind].network
    torch.save(state, tmp_path / "theirs.pth")
    done = convert_weights(tmp_path / "theirs.pth", "", tmp_path / "ours.safetensors")
    assert done.what == f"{name}, 21 classes"
    model, meta = load_model(tmp_path / "ours.safetensors")
    assert model.name == name
    assert tuple(meta["classes"]) == VOC_CLASSES
    assert meta["converted_from"] == "theirs.pth"
    assert meta.get("origin") == ({"recipe": RECIPES[kind], "verified": False} if kind in RECIPES else None)
    back = write_reference(tmp_path / "ours.safetensors", tmp_path / "back.pth")
    assert back.used == len(state)
    again = torch.load(tmp_path / "back.pth", weights_only=True, mmap=True)
    assert again.keys() == state.keys()
    for key, value in again.items():
        assert value.dtype == state[key].dtype
        assert torch.equal(value, state[key]), key
    if kind in ("psa", "irn"):
        assert not model.fc8.weight[0].any()
        assert any("background channel of zeros" in note for note in done.notes)
    if kind == "sbnet":
        for part, lacks in (("seam", BOUNDARY), ("psa", (*CORRELATION, *BOUNDARY))):
            done = write_reference(tmp_path / "ours.safetensors", tmp_path / "back.pth", to=part)
            assert ", ".join(lacks) in done.notes[0]
            again = torch.load(tmp_path / "back.pth", weights_only=True, mmap=True)
            assert again.keys() == without(state, *lacks).keys()
            assert len(again["fc8.weight"]) == (20 if part == "psa" else 21)
    if kind == "psa":
        with pytest.raises(SBNetError, match="PSA's CAM network does not contain SEAM's"):
            write_reference(tmp_path / "ours.safetensors", tmp_path / "back.pth", to="seam")
    for path in tmp_path.iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("seam", "sbnet-resnet38"),
        ("psa", "seam-resnet38"),
        ("sbnet", "cam-resnet38"),
        ("seam", "seam-lite0"),
        ("affinity", "irn-resnet38"),
        ("irn", "seam-timm:resnet50"),
        ("irn", "cam-timm:resnet18"),
    ],
)
def test_the_names_in_a_file_decide(kind: str, given: str, tmp_path: Path) -> None:
    """Another network is refused with the one to give; nothing is built for it."""
    marks = {
        "sbnet": ("conv1a.weight", "fc8.weight", "f9.weight", "edge_layer.conv4.weight"),
        "seam": ("conv1a.weight", "fc8.weight", "f9.weight"),
        "psa": ("conv1a.weight", "fc8.weight"),
        "affinity": ("conv1a.weight", "f8_3.weight", "f8_5.weight"),
        "irn": ("resnet50.conv1.weight", "classifier.weight"),
    }
    torch.save({name: torch.zeros(20, 1) for name in marks[kind]}, tmp_path / "a.pth")
    title, network = ORIGINS[kind][:2]
    with pytest.raises(SBNetError, match=f"a.pth: {title}, not {given}; give --model {network}"):
        convert_weights(tmp_path / "a.pth", given, tmp_path / "a.safetensors")


def test_families_are_told_over_any_backbone(small: dict[str, Tensor], tmp_path: Path) -> None:
    path, out = tmp_path / "a.pth", tmp_path / "a.safetensors"
    torch.save(without(small, *BOUNDARY), path)
    with pytest.raises(SBNetError, match="family 'seam', not sbnet-lite0; give --model seam-lite0"):
        convert_weights(path, "sbnet-lite0", out, classes=NAMES)
    with pytest.raises(SBNetError, match=r"names do not tell the network.*--model NAME"):
        convert_weights(path, "", out, classes=NAMES)
    assert convert_weights(path, "seam-lite0", out, classes=NAMES).notes == []
    torch.save(without(small, *BOUNDARY, *CORRELATION), path)
    with pytest.raises(SBNetError, match="a classifier of 5 classes with background"):
        convert_weights(path, "cam-lite0", out, classes=NAMES)  # those of PSA and IRN lack the background


def test_irns_network_is_irns(reference: Any, tmp_path: Path) -> None:
    """Stride 16, its last stage not dilated: torchvision's ResNet-50 with the last stage's stride taken away."""
    from torchvision.models import resnet50

    state = irn_state()
    torch.save(state, tmp_path / "irn.pth")
    convert_weights(tmp_path / "irn.pth", "cam-timm:resnet50", tmp_path / "irn.safetensors")
    model, _ = load_model(tmp_path / "irn.safetensors")
    theirs = resnet50().eval()
    theirs.layer4[0].conv2.stride = theirs.layer4[0].downsample[0].stride = (1, 1)
    plain = {
        name.removeprefix("resnet50."): value for name, value in state.items() if name.startswith("resnet50.")
    }
    theirs.load_state_dict(plain, strict=False)
    for parent in (model, theirs):  # weights as these make too large numbers
        for module in parent.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_var.fill_(1e4)
    image = torch.randn(1, 3, 97, 113)
    with torch.no_grad():
        x = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(image))))
        expected = theirs.layer4(theirs.layer3(theirs.layer2(theirs.layer1(x))))
        actual = model.backbone(image)[-1]
    assert actual.shape == expected.shape == (1, 2048, 7, 8)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_mxnets_names() -> None:
    assert mxnet_name("b5_1.conv_branch2a.weight") == "arg:res5b1_branch2a_weight"
    assert mxnet_name("b5.bn_branch2b1.running_var") == "aux:bn5a_branch2b1_moving_var"
    own = [name for name in build_backbone("resnet38").state_dict() if "num_batches" not in name]
    state = {mxnet_name(name): torch.full((1,), float(index)) for index, name in enumerate(own)}
    state |= {"arg:linear1000_weight": torch.zeros(1), "arg:linear1000_bias": torch.zeros(1)}
    for prefixed in (True, False):  # Module's checkpoints have the prefixes, mx.nd.save's lists have none
        given = {name if prefixed else name[4:]: value for name, value in state.items()}
        tensors, ignored = rename(given)
        assert {name: value.item() for name, value in tensors.items()} == {
            name: i for i, name in enumerate(own)
        }
        assert [name.removeprefix("arg:") for name in ignored] == ["linear1000_weight", "linear1000_bias"]


def test_names_that_clash_or_differ() -> None:
    with pytest.raises(SBNetError, match="a second tensor of the file that is conv1a"):
        rename({"conv1a.weight": torch.zeros(1), "arg:conv1a_weight": torch.zeros(1)})
    with pytest.raises(SBNetError, match=r"module.conv1a.weight: a second tensor of the file that is conv1a"):
        rename({"conv1a.weight": torch.zeros(1), "module.conv1a.weight": torch.zeros(1)})
    state = irn_state()
    with pytest.raises(SBNetError, match=r"a second tensor of the file that is conv1.weight"):
        rename(state | {"conv1.weight": torch.zeros(1)})
    state["stage1.0.weight"] = state["stage1.0.weight"] + 1
    with pytest.raises(SBNetError, match=r"stage1.0.weight: differs from resnet50.conv1.weight"):
        rename(state)


@pytest.fixture
def small() -> dict[str, Tensor]:
    """A small CAM network's tensors, under names such as the reference's."""
    return {
        our_name(name): value for name, value in build("sbnet-lite0", 4, weights="none").state_dict().items()
    }


# The recipes' own test is `test_origins_are_recipes` of tests/config, as soon as recipes are by role.


def test_a_network_of_other_classes_has_another_origin(small: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(small, tmp_path / "a.pth")
    names = ["background", "cat", "dog", "owl"]
    convert_weights(tmp_path / "a.pth", "sbnet-lite0", tmp_path / "a.safetensors", classes=names)
    assert "origin" not in load_model(tmp_path / "a.safetensors")[1]


def test_files_are_written_under_names_by_which_they_are_read(
    small: dict[str, Tensor], tmp_path: Path
) -> None:
    path, names = tmp_path / "a.pth", ["background", "cat", "dog", "owl"]
    torch.save(small, path)
    for name in ("b.pth", "b", "b.safetensors.pth"):
        with pytest.raises(SBNetError, match=r"writes a \.safetensors file; name it b\.safetensors"):
            convert_weights(path, "sbnet-lite0", tmp_path / name, classes=names)
    convert_weights(path, "sbnet-lite0", tmp_path / "b.SAFETENSORS", classes=names)
    assert load_model(tmp_path / "b.SAFETENSORS")
    assert "backbone.net.conv_stem.weight" in read_state(tmp_path / "b.SAFETENSORS")
    for name in ("c.safetensors", "c", "c.bin"):
        with pytest.raises(SBNetError, match=r"writes a \.pth file; name it c\.pth"):
            write_reference(tmp_path / "b.SAFETENSORS", tmp_path / name)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.pth", "b.SAFETENSORS"]


@pytest.mark.parametrize("link", ["name", "relative", "symbolic", "hard", "of the folder", "back"])
def test_a_file_is_not_replaced_by_what_is_made_of_it(
    link: str, small: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = out = tmp_path / "theirs.safetensors"
    save_file(small, source)
    if link == "relative":
        monkeypatch.chdir(tmp_path)
        out = Path("./theirs.safetensors")
    elif link == "of the folder":
        (tmp_path / "folder").symlink_to(tmp_path)
        out = tmp_path / "folder" / "theirs.safetensors"
    elif link != "name":
        out = tmp_path / "other.safetensors"
        out.hardlink_to(source) if link == "hard" else out.symlink_to(source)
        if link == "back":
            source, out = out, source
    before = {path: path.read_bytes() for path in (source, out)}
    for model in ("sbnet-lite0", "lite0"):
        with pytest.raises(SBNetError, match="is an input and would be overwritten: choose another"):
            convert_weights(source, model, out, classes=["background", "a", "b", "c"])
    ours = tmp_path / "ours.pth"  # of ours, whatever its name
    convert_weights(source, "sbnet-lite0", tmp_path / "a.safetensors", classes=["background", "a", "b", "c"])
    (tmp_path / "a.safetensors").rename(ours)
    with pytest.raises(SBNetError, match="is an input and would be overwritten"):
        write_reference(ours, ours)
    assert load_model(ours)
    assert {path: path.read_bytes() for path in (source, out)} == before


def test_every_name_is_accounted_for(small: dict[str, Tensor], tmp_path: Path) -> None:
    path, out = tmp_path / "a.pth", tmp_path / "a.safetensors"
    names = ["background", "cat", "dog", "owl"]
    for change, message in (
        ({"fc8.weight": None}, "missing fc8.weight"),
        ({"extra.weight": torch.zeros(1)}, r"does not fit sbnet-lite0 \(1 names\): unexpected extra.weight"),
        ({"f9.weight": torch.zeros(2, 2)}, r"f9.weight is \(2, 2\), not"),
        ({"f9.weight": None}, "missing f9.weight"),
        ({"fuse_canny_edge.weight": None}, "missing fuse_canny_edge.weight"),
        (
            dict.fromkeys(("f8_3.weight", "f8_4.weight", "f9.weight")),
            "missing f8_3.weight; missing f8_4.weight",
        ),
        ({"bn1.bias": torch.full((32,), torch.nan)}, "not finite in bn1.bias"),
        ({"fc8.weight": torch.zeros(9, 1280, 1, 1)}, "a classifier of 9 classes.*list of classes has 4"),
    ):
        torch.save({name: value for name, value in (small | change).items() if value is not None}, path)
        with pytest.raises(SBNetError, match=message):
            convert_weights(path, "sbnet-lite0", out, classes=names)
        assert not out.exists()
    torch.save({f"module.{name}": value for name, value in small.items() if "num_batches" not in name}, path)
    done = convert_weights(path, "sbnet-lite0", out, classes=names)
    assert "counters of batch norm" in done.notes[0]
    assert load_model(out)[1]["classes"] == names
    with pytest.raises(SBNetError, match="already a model file of sbnet"):
        convert_weights(out, "sbnet-lite0", tmp_path / "b.safetensors")
    with pytest.raises(SBNetError, match="have no network like this sbnet-lite0"):
        write_reference(out, tmp_path / "b.pth")


def test_a_training_s_checkpoint_is_accounted_for(small: dict[str, Tensor], tmp_path: Path) -> None:
    path, out = tmp_path / "a.pth", tmp_path / "a.safetensors"
    torch.save({"state_dict": small, "ema": {"fc8.weight": torch.zeros(1)}, "epoch": 3}, path)
    ignored = "ignored, next to 'state_dict' in the file: ema, epoch"
    done = convert_weights(path, "sbnet-lite0", out, classes=["background", "a", "b", "c"])
    assert done.notes == [ignored]
    done = convert_weights(path, "lite0", out)
    assert done.notes[1:] == [ignored]


def test_backbones_from_files_with_heads(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The COCO file of DeepLab v1 begins DeepLab v2: its pyramid has other classes and another form."""
    state = {our_name(name): value for name, value in build_backbone("resnet101").state_dict().items()}
    state |= {"fc.weight": torch.zeros(91, 2048, 1, 1), "fc.bias": torch.zeros(91)}
    torch.save(state, tmp_path / "coco.pth")
    with pytest.raises(
        SBNetError, match=r"unexpected fc.weight.*convert its backbone alone \(--model resnet101\)"
    ):
        convert_weights(tmp_path / "coco.pth", "deeplabv2-resnet101", tmp_path / "coco.safetensors")
    done = convert_weights(tmp_path / "coco.pth", "resnet101", tmp_path / "coco.safetensors")
    assert done.notes == ["ignored, not part of the backbone: fc.bias, fc.weight"]
    with safe_open(tmp_path / "coco.safetensors", framework="pt") as file:
        assert '"bgr": true' in file.metadata()["sbnet"]
        header = json.loads(file.metadata()["sbnet"])
    assert header["meta"].keys() == {"classes", "converted_from", "sha256"}
    assert header["meta"]["classes"] == []  # ImageNet's classifier is none of it
    with pytest.raises(SBNetError, match="only the backbone resnet101"):
        load_model(tmp_path / "coco.safetensors")
    for file_name in ("coco.pth", "coco.safetensors"):
        model = build("deeplabv2-resnet101", weights=f"file:{tmp_path / file_name}")
        assert torch.equal(
            model.backbone.layer2.block1.reduce.conv.weight, state["layer2.block1.reduce.conv.weight"]
        )
    assert not caplog.records
    backbone = build_backbone("timm:resnet50", weights="none")
    with caplog.at_level(logging.WARNING):
        fit_backbone(backbone, irn_state() | {"extra.weight": torch.zeros(1)}, "irn.pth")
    assert [record.getMessage() for record in caplog.records] == [
        "irn.pth: not used, as no part of the backbone: extra.weight"
    ]


def test_a_classifier_without_background_loads_anywhere(small: dict[str, Tensor]) -> None:
    model = build("sbnet-lite0", 4, weights="none")
    load_reference(model, small | {"fc8.weight": small["fc8.weight"][1:]})
    assert not model.fc8.weight[0].any()
    assert torch.equal(model.fc8.weight[1:], small["fc8.weight"][1:])
