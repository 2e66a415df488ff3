"""Every row of docs/coming-from.md, run as it stands there, on a small folder in VOC's layout.

A row's command is read from the page; names such as FILE and RUN are put in, and settings that make it small come last.
Networks are those of `foreign_files`: the reference's names, the ResNets a quarter as wide.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import shlex
import tarfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

import foreign_files
from sbnet import models, ops
from sbnet.cli import execute
from sbnet.compat.names import our_name, rename
from sbnet.compat.state_file import read_state
from sbnet.config.recipe import Recipe, load_recipe
from sbnet.data.datasets.collection import Photo
from sbnet.data.datasets.labels import VOC_CLASSES
from sbnet.data.datasets.voc.folder import read_voc
from sbnet.data.datasets.voc.sources import ARCHIVES
from sbnet.data.io.files import Scores, read_json, read_label, read_scores, write_label
from sbnet.data.io.image import read_photo
from sbnet.data.synthetic.scenes import make_scenes
from sbnet.networks import build as registry
from sbnet.networks.model_file import load_model

PAGE = Path(__file__).parents[2] / "docs" / "coming-from.md"
PHOTOS = 5
TRAININGS = ("seeds.bootstrap.train", "seeds.train", "refine.train", "segmenter")
SMALL = (
    *("backbone.weights=none", "segmenter.weights=none", "runtime.workers=0", "runtime.precision=32"),
    *(
        f"{training}.{setting}"
        for training in TRAININGS
        for setting in ("epochs=1", "batch=5", "accumulate=1", "crop=64")
    ),
    *(f"{training}.long_side=48,64" for training in TRAININGS[:3]),
    *("segmenter.crop=33", "seeds.infer.scales=0.5,1", "crf.iterations=1"),
    *("refine.propagate.steps=4", "predict.iterations=1"),
)


class Row(NamedTuple):
    """A row of the page's tables. commands: what of its text is to be typed."""

    section: str
    title: str
    text: str

    @property
    def commands(self) -> list[str]:
        return re.findall(r"`(sbnet [^`]*)`", self.text)


def small(recipe: Recipe, *, weights: bool = False) -> list[str]:
    """Those of `SMALL` that its methods have; without weights=none, if `weights` are given."""
    found = []
    for setting in SMALL:
        section, _, name = setting.partition("=")[0].rpartition(".")
        with contextlib.suppress(AttributeError):
            if hasattr(recipe.section(section), name) and not (weights and name == "weights"):
                found.append(setting)
    return found


def read_rows() -> dict[str, Row]:
    rows: dict[str, Row] = {}
    section, lines = "", PAGE.read_text().splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith("## "):
            section = line.removeprefix("## ")
        if line.startswith("| ") and "---" not in line + following:
            title, _, text = line.strip("| ").partition(" | ")
            assert title not in rows, f"two rows begin alike: {title}"
            rows[title] = Row(section, title, text)
    return rows


ROWS = read_rows()
Case = Callable[["Shop", Row], None]
CASES: dict[str, Case] = {}


def row(beginning: str) -> Callable[[Case], Case]:
    """Registers the case of the one row that begins so."""
    (title,) = (title for title in ROWS if title.startswith(beginning))
    assert title not in CASES

    def register(case: Case) -> Case:
        CASES[title] = case
        return case

    return register


class Shop:
    """The folder in which the commands are typed: VOC2012, and what others made, written when it is asked for."""

    def __init__(self, folder: Path, golden: Any) -> None:
        self.folder, self.golden = folder, golden
        voc = make_scenes(folder / "VOC2012", train=PHOTOS, val=2, size=(48, 64))
        _take_vocs_classes(voc)
        self.photos = list(read_voc(voc, "train"))
        self.val = list(read_voc(voc, "val"))
        first, second = self.photos[:2]
        moved = first.classes[-1]
        # What the annotations say: of two images not what the masks show.
        self.annotated = {photo.name: photo.classes for photo in (*self.photos, *self.val)}
        self.annotated[first.name] = first.classes[:-1]
        self.annotated[second.name] = tuple(sorted((*second.classes, moved)))
        (voc / "Annotations").mkdir()
        for name, classes in self.annotated.items():
            objects = "".join(f"<object><name>{VOC_CLASSES[index]}</name></object>" for index in classes)
            (voc / "Annotations" / f"{name}.xml").write_text(f"<annotation>{objects}</annotation>")

    def type(self, command: str, *more: str, **names: object) -> str:
        """Runs a command; gives the folder or file that its --out names, by default the run's folder."""
        words = [*filled(command, names), *more]
        assert not re.findall(r"\b[A-Z]{4,}\b", " ".join(words).replace("VOC", "")), words
        assert execute(words[1:]) == 0, words
        return words[words.index("--out") + 1] if "--out" in words else f"runs/{words[2]}"

    def run(self, command: str, *more: str, **names: object) -> Path:
        """As `type`, for a run from images: made small."""
        recipe, *words = [*filled(command, names)[2:], *more]
        found = load_recipe(recipe, [word for word in words if "=" in word])
        weights = "weights=file" in command
        return Path(self.type(command, *small(found, weights=weights), *more, **names))

    def file(self, name: str, state: dict[str, torch.Tensor]) -> Path:
        torch.save(state, self.folder / name)
        return self.folder / name

    @cached_property
    def cam(self) -> dict[str, dict[str, torch.Tensor]]:
        return foreign_files.cam_networks(self.golden)

    @cached_property
    def irn(self) -> dict[str, dict[str, torch.Tensor]]:
        return foreign_files.irn_networks()

    @cached_property
    def affinity(self) -> dict[str, torch.Tensor]:
        network = registry.build("affinitynet-resnet38", weights="none")
        return foreign_files.named(network, self.golden.load("affinitynet_state", 0))

    @cached_property
    def resnet38(self) -> dict[str, torch.Tensor]:
        return registry.build_backbone("resnet38", weights="none").state_dict()

    @cached_property
    def cams(self) -> Path:
        """The reference's CAMs of the training photos, made of their masks: see `shown`."""
        folder = Path("out_cam")
        for photo in self.photos:
            maps = {index - 1: shown(photo, index) for index in photo.classes}
            foreign_files.write_pickle(folder / f"{photo.name}.npy", maps)
        return folder

    @cached_property
    def seam(self) -> Path:
        """A run of voc12-resnet38-seam up to its pseudo masks."""
        return self.run(
            "sbnet run voc12-resnet38-seam --data VOC2012 --out runs/seam --to propagate",
            *("seeds.method=cam_files", f"seeds.folder={self.cams}"),
        )

    @cached_property
    def masks(self) -> Path:
        folder = Path("masks")
        folder.mkdir()
        for path in Path("VOC2012/SegmentationClass").iterdir():
            truth = read_label(path)
            write_label(folder / path.name, np.where(truth == 255, 0, truth).astype(np.uint8))
        return folder

    @cached_property
    def spoilt(self) -> Path:
        """Those masks with mistakes: background over objects, and a class where there is none."""
        folder = Path("spoilt")
        for number, path in enumerate(sorted(self.masks.iterdir())):
            mask = read_label(path)
            mask[20:30, 10 : 20 + 3 * number] = 0
            mask[:5, :9] = mask[40, 40]
            write_label(folder / path.name, mask)
        return folder


def filled(command: str, names: Mapping[str, object]) -> list[str]:
    """The words of a command, with values in place of its names."""
    for name, value in names.items():
        command = re.sub(rf"\b{name}\b", str(value), command)
    return shlex.split(command)


def shown(photo: Photo, index: int) -> np.ndarray:
    """A class's CAM: 0.3 at the photo's top to 1 at its bottom where the class is, else 0."""
    ramp = np.linspace(0.3, 1, 48, dtype=np.float32)[:, None]
    return ramp * (read_label(photo.mask) == index)


def mean_iou(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> float:
    """Of (prediction, truth), as VOC counts: over all photos at once, without the pixels whose truth is 255."""
    found, true = (np.concatenate([mask.ravel() for mask in masks]) for masks in zip(*pairs, strict=True))
    found, true = found[true != 255], true[true != 255]
    shares = [
        np.sum((found == index) & (true == index)) / np.sum((found == index) | (true == index))
        for index in np.union1d(found, true)
    ]
    return float(np.mean(shares))


def _take_vocs_classes(voc: Path) -> None:
    """Four of VOC's classes a photo, as stripes below a background and a line of 255, so that there is none without a
    photo.
    """
    (voc / "classes.txt").unlink()
    for number, path in enumerate(sorted((voc / "SegmentationClass").iterdir())):
        mask = np.zeros((48, 64), np.uint8)
        mask[7] = 255
        mask[8:] = np.repeat(np.arange(4), 16) + 4 * (number % PHOTOS) + 1
        write_label(path, mask)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, golden: Any) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry.REFERENCE, "resnet38", foreign_files.ThinResNet38)
        patch.setitem(registry.REFERENCE, "resnet101", foreign_files.ThinResNet101)
        patch.chdir(folder)
        yield Shop(folder, golden)


def test_every_row_has_its_case() -> None:
    assert len(ROWS) > 30
    assert CASES.keys() == ROWS.keys()


@pytest.mark.parametrize("title", ROWS)
def test_row(title: str, shop: Shop) -> None:
    CASES[title](shop, ROWS[title])


def opened(path: Path | str) -> tuple[models.Network, dict[str, Any]]:
    """A model file, by safetensors alone and by us: the network, and what its header says besides."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["sbnet"])
        assert len(list(file.keys())) > 100
    model, meta = load_model(path)
    assert header["normalization"] == json.loads(json.dumps(dataclasses.asdict(model.normalization)))
    assert tuple(header["meta"]["classes"]) == VOC_CLASSES
    return model, meta


# Weights in


def converts(beginning: str, network: str, state: Callable[[Shop], dict[str, torch.Tensor]]) -> None:
    """A row of a file with this `state`, whose names tell the `network`."""

    @row(beginning)
    def case(shop: Shop, told: Row) -> None:
        (command,) = told.commands
        theirs = state(shop)
        model, meta = opened(shop.type(command, FILE=shop.file("theirs.pth", theirs)))
        assert (model.name, meta["converted_from"]) == (network, "theirs.pth")
        assert_taken(model, theirs)


def assert_taken(model: models.Network, theirs: dict[str, torch.Tensor]) -> None:
    """Every tensor of the file is in the network; a background channel may have been put before a classifier's."""
    own = {our_name(name): value for name, value in model.state_dict().items()}
    tensors = rename(theirs).tensors
    for name, value in tensors.items():
        assert torch.equal(own[name][-len(value) :] if value.dim() else own[name], value), name
    assert len(tensors) > 100


converts("SBNet's CAM network", "sbnet-resnet38", lambda shop: shop.cam["sbnet"])
converts("SEAM's CAM network", "seam-resnet38", lambda shop: shop.cam["seam"])
converts("PSA's `resnet38_cls`", "cam-resnet38", lambda shop: shop.cam["psa"])
converts("PSA's or SEAM's AffinityNet", "affinitynet-resnet38", lambda shop: shop.affinity)
converts("IRN's ResNet-50 CAM network", "cam-timm:resnet50", lambda shop: shop.irn["cam"])
converts("IRN's second network", "irn-timm:resnet50", lambda shop: shop.irn["second"])
converts("SEAM's segmenter", "deeplabv2-resnet38", lambda shop: foreign_files.seam_segmenter())


@pytest.mark.parametrize("origin", ["SEAM's", "DeepLab v2's"])
def test_a_segmenter_predicts_unconverted(
    origin: str, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """As it does converted, to the byte; all that was left out of the file is told."""
    seams = origin == "SEAM's"
    state = foreign_files.seam_segmenter() if seams else foreign_files.deeplab(shop.golden)
    name = "deeplabv2-resnet38" if seams else "deeplabv2-resnet101"
    theirs = shop.file("theirs.pth", {"state_dict": state, "epoch": 3})
    shop.type(f"sbnet convert-weights {theirs} --model {name} --out ours.safetensors")
    for model, out in ((theirs, "first"), ("ours.safetensors", "second")):
        capsys.readouterr()
        shop.type(f"sbnet predict VOC2012/JPEGImages --model {model} --out {out} --crf --no-overlay")
    masks = {
        out: {path.name: path.read_bytes() for path in Path(out).iterdir()} for out in ("first", "second")
    }
    assert len(masks["first"]) == PHOTOS + 2
    assert masks["first"] == masks["second"]


def test_what_predict_does_not_take_unconverted(shop: Shop, refused: Any) -> None:
    words = ("predict", "VOC2012/JPEGImages", "--out", "masks_of_none", "--model")
    path = shop.file("cam.pth", shop.cam["seam"])
    assert f"{path} holds 'seam-resnet38'" in refused(*words, path)
    path = shop.file("none.pth", {"a": torch.zeros(1)})
    assert f"sbnet convert-weights {path} --model NAME --out none.safetensors" in refused(*words, path)
    other = foreign_files.seam_segmenter() | {
        "cls_conv.weight": torch.zeros(3, 512, 1, 1),
        "cls_conv.bias": torch.zeros(3),
    }
    assert "a classifier of 3 classes with background" in refused(*words, shop.file("three.pth", other))
    assert not Path("masks_of_none").exists()


converts(
    "`deeplabv2_resnet101_msc-vocaug-20000.pth`",
    "deeplabv2-resnet101",
    lambda shop: foreign_files.deeplab(shop.golden),
)


def coco(shop: Shop) -> dict[str, torch.Tensor]:
    """DeepLab v1's: the backbone, and a classifier of COCO's classes."""
    state = foreign_files.without(foreign_files.deeplab(shop.golden), "aspp")
    backbone = {name.removeprefix("base."): value for name, value in state.items() if ".aspp." not in name}
    return backbone | {"fc.weight": torch.zeros(91, 2048, 1, 1)}


@row("`deeplabv1_resnet101-coco.pth` (a backbone")
def case_coco_backbone(shop: Shop, told: Row) -> None:
    theirs = coco(shop)
    more = ("segmenter.labels=truth", "segmenter.learning_rate=1e-30", "--to", "train-segmenter")
    (command,) = told.commands
    file = shop.file("coco.pth", theirs)
    run = shop.run(command, "backbone.weights=none", *more, "--out", "runs/coco", FILE=file)
    model, _ = load_model(run / "train_segmenter" / "model.safetensors")
    for name in ("layer1.conv1.conv.weight", "layer5.block3.increase.conv.weight"):
        torch.testing.assert_close(model.backbone.state_dict()[name], theirs[name])


@row("`ilsvrc-cls_rna-a1_cls1000_ep-0001.params`")
def case_mxnet(shop: Shop, told: Row) -> None:
    foreign_files.write_mxnet(Path("a1.params"), shop.resnet38)
    (command,) = told.commands
    more = ("seeds.method=cam", "segmenter.weights=none", "--to", "train-cam", "--out", "runs/mxnet")
    run = shop.run(command, *more, FILE="a1.params")
    model, _ = load_model(run / "train_cam" / "model.safetensors")
    for name in ("conv1a.weight", "b2_1.conv_branch2a.weight", "bn7.running_var"):  # frozen
        assert torch.equal(model.backbone.state_dict()[name], shop.resnet38[name])


def converts_backbone(beginning: str, write: Callable[[Shop, Path], None], tensor: str) -> None:
    @row(beginning)
    def case(shop: Shop, told: Row) -> None:
        write(shop, Path("theirs"))
        (command,) = told.commands
        out = shop.type(command, FILE="theirs")
        assert torch.equal(
            read_state(out)[tensor], read_state("theirs")[tensor.replace("bn7.weight", "arg:bn7_gamma")]
        )
        name = command.split()[4]
        assert registry.build_backbone(name, weights=f"file:{out}")


converts_backbone(
    "`deeplabv1_resnet101-coco.pth`, as safetensors",
    lambda shop, path: torch.save(coco(shop), path),
    "layer1.conv1.conv.weight",
)
converts_backbone(
    "MXNet's file", lambda shop, path: foreign_files.write_mxnet(path, shop.resnet38), "bn7.weight"
)


def takes_place(setting: str, extra: tuple[str, ...], stop: str, step: str, steps: tuple[str, ...]) -> None:
    """The rows of settings, in a run up to a step that reads what they replace. steps: all that such a run has."""

    @row(f"`{setting}`")
    def case(shop: Shop, told: Row) -> None:
        what = {
            "seeds.train.network": lambda: shop.file("w.pth", shop.cam["sbnet"]),
            "seeds.bootstrap.train.network": lambda: shop.file("w.pth", shop.cam["sbnet"]),
            "refine.train.network": lambda: shop.file("w.pth", shop.affinity),
            "segmenter.network": lambda: shop.file("w.pth", foreign_files.seam_segmenter()),
            "seeds.folder": lambda: shop.cams,
            "refine.folder": lambda: shop.masks,
        }[setting]()
        assert shop.cams
        needed = re.findall(r"`(\w+\.method=\w+)`", told.title)
        command = f"sbnet run voc12-resnet38 --data VOC2012 --out runs/{setting} --to {stop}"
        run = shop.run(command, *needed, f"{setting}={what}", *extra)
        assert {path.parent.name for path in run.glob("*/done.json")} == {step, *steps}
        assert not (run / step / "log.csv").exists()  # nothing was trained there
        if setting.endswith(".network"):
            assert_taken(load_model(run / step / "model.safetensors")[0], read_state(what))
        for photo in shop.photos if setting == "seeds.folder" else ():
            assert_shown(read_scores(run / step / "scores" / f"{photo.name}.npz"), photo)
        for photo in shop.photos if setting == "refine.folder" else ():
            taken, given = (read_label(place / f"{photo.name}.png") for place in (run / step / "masks", what))
            assert np.array_equal(taken, given)


CAM_FILES = ("seeds.method=cam_files", "seeds.folder=out_cam")
TRUTH = ("segmenter.labels=truth", "segmenter.backbone=resnet38")
takes_place("seeds.train.network", (), "infer-cam", "train_cam", ("infer_cam",))
takes_place(
    "seeds.bootstrap.train.network",
    (),
    "train-cam",
    "bootstrap_train_cam",
    ("bootstrap_infer_cam", "bootstrap_crf", "train_cam"),
)
takes_place("refine.train.network", CAM_FILES, "propagate", "train_affinity", ("infer_cam", "propagate"))
takes_place("segmenter.network", TRUTH, "predict", "train_segmenter", ("predict",))
takes_place("seeds.folder", (), "crf", "infer_cam", ("crf",))
takes_place("refine.folder", (), "propagate", "propagate", ())


# Weights out


def goes_out(beginning: str, state: Callable[[Shop], dict[str, torch.Tensor]]) -> None:
    @row(beginning)
    def case(shop: Shop, told: Row) -> None:
        (command,) = (
            line for line in PAGE.read_text().splitlines() if line.endswith("--to reference --out cam.pth")
        )
        theirs = shop.file("theirs.pth", state(shop))
        shop.type(f"sbnet convert-weights {theirs} --out ours.safetensors")
        back = shop.type(command.replace("runs/a/train_cam/model.safetensors", "ours.safetensors"))
        again = torch.load(back, weights_only=True)
        assert again.keys() >= state(shop).keys()
        assert all(name.endswith("num_batches_tracked") for name in again.keys() - state(shop).keys())
        assert all(torch.equal(again[name], value) for name, value in torch.load(theirs).items())


goes_out("`sbnet-resnet38`", lambda shop: shop.cam["sbnet"])
goes_out("`seam-resnet38`", lambda shop: shop.cam["seam"])
goes_out("`cam-resnet38`", lambda shop: shop.cam["psa"])
goes_out("`affinitynet-resnet38`", lambda shop: shop.affinity)
goes_out("`deeplabv2-resnet101`", lambda shop: foreign_files.deeplab(shop.golden))
goes_out("`deeplabv2-resnet38`", lambda shop: foreign_files.seam_segmenter())
goes_out("`cam-timm:resnet50`", lambda shop: shop.irn["cam"])


# CAM files


@row("`out_cam/NAME.npy`, to start from")
def case_start_from_cams(shop: Shop, told: Row) -> None:
    assert shop.cams
    (command,) = told.commands
    run = shop.run(command, "--to", "crf", "--out", "runs/cams")
    assert read_json(run / "metrics.json")["cam"]["miou"] == 1  # they were made of the true masks
    assert len(list((run / "crf" / "seeds").iterdir())) == len(shop.photos)


@row("`out_cam/NAME.npy`, as our")
def case_cams_as_ours(shop: Shop, told: Row) -> None:
    (command,) = told.commands
    assert shop.cams
    folder = Path(shop.type(command))
    for photo in shop.photos:
        assert_shown(read_scores(folder / f"{photo.name}.npz"), photo)


def assert_shown(found: Scores, photo: Photo) -> None:
    """The photo's classes, and the CAMs that `shown` gives, in half precision."""
    assert found.classes.tolist() == list(photo.classes)
    expected = [shown(photo, index) for index in photo.classes]
    np.testing.assert_allclose(found.scores, expected, rtol=0, atol=5e-4)


@row("IRN's `cam/NAME.npy`")
def case_irns_cams(shop: Shop, told: Row) -> None:
    for photo in shop.photos:
        maps = np.stack([shown(photo, index) for index in photo.classes])
        keys = torch.tensor([index - 1 for index in photo.classes])
        content = {"keys": keys, "cam": torch.from_numpy(maps[:, ::4, ::4].copy()), "high_res": maps}
        foreign_files.write_pickle(Path("cam") / f"{photo.name}.npy", content)
    (command,) = told.commands
    folder = Path(shop.type(command))
    for photo in shop.photos:
        assert_shown(read_scores(folder / f"{photo.name}.npz"), photo)


@row("`out_crf_4.0`, `out_crf_24.0`")
def case_marginals(shop: Shop, told: Row) -> None:
    """Much background under 4: down to row 20. Little under 24: down to row 8. Between them nothing is sure."""
    expected = {}
    for photo in shop.photos:
        objects = read_label(photo.mask)[-1:]  # stripes: each row of objects is like the last
        for folder, horizon in (("out_crf_4.0", 20), ("out_crf_24.0", 8)):
            found = np.where(np.arange(48)[:, None] < horizon, 0, objects)
            marginals = {
                index: np.where(found == index, 0.6, 0.1).astype(np.float32) for index in (0, *photo.classes)
            }
            foreign_files.write_pickle(Path(folder) / f"{photo.name}.npy", marginals)
        expected[photo.name] = np.repeat(objects, 48, axis=0)
        expected[photo.name][:20], expected[photo.name][:8] = 255, 0
    (command,) = told.commands
    folder = Path(shop.type(command))
    for name, label in expected.items():
        assert np.array_equal(read_label(folder / f"{name}.png"), label)


@row("our `infer_cam/scores`")
def case_our_cams_as_theirs(shop: Shop, told: Row) -> None:
    (command,) = told.commands
    folder = shop.type(command.replace("--out out_cam", "--out out_again"), RUN=shop.seam)
    for photo in shop.photos:
        theirs = np.load(f"{folder}/{photo.name}.npy", allow_pickle=True).item()
        assert {values.dtype for values in theirs.values()} == {np.dtype(np.float32)}
        assert_shown(Scores(np.stack([*theirs.values()]), np.array([*theirs]) + 1), photo)


@row("our scores, for someone's `train_aff`")
def case_our_cams_as_marginals(shop: Shop, told: Row) -> None:
    (command,) = told.commands
    folder = shop.type(command.replace("--out out_crf", "--out out_ours"), RUN=shop.seam)
    for photo in shop.photos:
        cams = np.stack([shown(photo, index) for index in photo.classes])
        crf = ops.DenseCRF(read_photo(photo.path))
        backgrounds = []
        for alpha in (4.0, 24.0):
            theirs = np.load(f"{folder}_{alpha}/{photo.name}.npy", allow_pickle=True).item()
            assert list(theirs) == [0, *photo.classes]
            background = (1 - cams.max(0, keepdims=True)) ** alpha
            expected = crf.marginals(np.concatenate([background, cams]), iterations=10)
            np.testing.assert_allclose(np.stack([*theirs.values()]), expected, rtol=0, atol=5e-3)
            backgrounds.append(theirs[0].sum())
        assert backgrounds[0] > 1.01 * backgrounds[1]


# Commands


@row("`train_SB.py`")
def case_train_cam(shop: Shop, told: Row) -> None:
    (command,) = told.commands
    run = shop.run(
        "sbnet run voc12-resnet38 --data VOC2012 --out runs/train --to train-cam", "seeds.method=cam"
    )
    bootstrap = [one for one in SMALL if one.startswith("seeds.bootstrap")]
    for method in re.findall(r"`(sbnet|seam|cam)`", told.text):
        more = bootstrap if method == "sbnet" else []
        shop.type(command, f"seeds.method={method}", *more, RUN=run)
        model, meta = load_model(run / "train_cam" / "model.safetensors")
        assert model.name == f"{method}-resnet38"
        assert meta["recipe"]["seeds"]["method"] == method
        header = (run / "train_cam" / "log.csv").read_text().splitlines()[0]
        assert ("smoothness" in header, "cross" in header) == (method == "sbnet", method != "cam")


def infers(beginning: str, network: str, step: str) -> None:
    @row(beginning)
    def case(shop: Shop, told: Row) -> None:
        (command,) = told.commands
        weights = shop.file("w.pth", shop.cam[network])
        recipe = "voc12-resnet38" if network == "sbnet" else "voc12-resnet38-seam"
        run = shop.run(command, "--out", f"runs/{step}", RECIPE=recipe, W=weights)
        assert len(list((run / "infer_cam" / "scores").iterdir())) == len(shop.photos)
        assert read_json(run / "metrics.json")["cam"]["images"] == len(shop.photos)
        assert (run / step / "done.json").is_file()
        model, _ = load_model(run / "train_cam" / "model.safetensors")
        assert model.name == f"{network}-resnet38"
        assert torch.equal(model.fc8.weight, shop.cam[network]["fc8.weight"])


infers("`infer_SB.py`", "sbnet", "infer_cam")
infers("`infer_SEAM.py --weights W --out_crf D`", "seam", "crf")


@row("`train_aff.py")
def case_train_affinity(shop: Shop, told: Row) -> None:
    (command,) = told.commands
    shop.type(command, "refine.train.learning_rate=0.02", RUN=shop.seam)
    model, meta = opened(shop.seam / "train_affinity" / "model.safetensors")
    assert model.name == "affinitynet-resnet38"
    assert meta["recipe"]["refine"]["train"]["learning_rate"] == 0.02


@row("`infer_aff.py")
def case_infer_affinity(shop: Shop, told: Row) -> None:
    (command,) = told.commands
    weights = shop.file("w.pth", shop.affinity)
    run = shop.run(command, "--out", "runs/walk", RECIPE="voc12-resnet38", D=shop.cams, W=weights)
    masks = run / "propagate" / "masks"
    assert sorted(path.stem for path in masks.iterdir()) == sorted(photo.name for photo in shop.photos)
    figures = read_json(run / "metrics.json")
    assert figures["propagation"]["images"] == len(shop.photos)
    assert figures["cam"]["miou"] == 1  # D's
    assert_taken(load_model(run / "train_affinity" / "model.safetensors")[0], shop.affinity)


@row("IRN's `run_sample.py`")
def case_irn(shop: Shop, told: Row) -> None:
    (command,) = told.commands
    run = shop.run(command, "--out", "runs/irn", "seeds.infer.scales=1")
    for step, family in (("train_cam", "cam"), ("train_affinity", "irn")):
        model, meta = opened(run / step / "model.safetensors")
        assert model.name == f"{family}-timm:resnet50.tv_in1k"
        assert meta["recipe"]["name"] == "voc12-resnet50-irn"
    assert len(list((run / "propagate" / "masks").iterdir())) == len(shop.photos)


@row("SEAM's retraining")
def case_seam_retraining(shop: Shop, told: Row) -> None:
    for command in told.commands:
        shop.type(command, RUN=shop.seam)
    model, meta = opened(shop.seam / "train_segmenter" / "model.safetensors")
    assert (model.name, model.head) == ("deeplabv2-resnet38", "large_fov")
    assert meta["recipe"]["name"] == "voc12-resnet38-seam"
    assert meta["predict"]["scales"] == [0.5, 0.75, 1, 1.25, 1.5, 1.75]
    for masks in ("masks", "masks_crf"):
        assert len(list((shop.seam / "predict" / masks).iterdir())) == 2


@row("a segmenter on someone's pseudo masks")
def case_pseudo_masks(shop: Shop, told: Row) -> None:
    (command,) = told.commands
    more = ("segmenter.backbone=lite0", "--to", "train-segmenter", "--out", "runs/masks")
    run = shop.run(command, *more, RECIPE="voc12-resnet38", MASKS=shop.masks)
    assert read_json(run / "metrics.json")["propagation"]["miou"] == 1  # they are the true ones
    assert load_model(run / "train_segmenter" / "model.safetensors")[0].name == "deeplabv2-lite0"


@row("DeepLab v2's `main.py train`")
def case_deeplab(shop: Shop, told: Row) -> None:
    start = "sbnet run voc12-resnet38 --data VOC2012 --out runs/deeplab --to propagate"
    affinity = shop.file("a.pth", shop.affinity)
    run = shop.run(
        start, "seeds.method=cam_files", f"seeds.folder={shop.cams}", f"refine.train.network={affinity}"
    )
    for command in told.commands:
        shop.type(command, RUN=run)
    model, _ = load_model(run / "train_segmenter" / "model.safetensors")
    assert (model.name, model.scales) == ("deeplabv2-resnet101", (1.0, 0.75, 0.5))
    assert {"segmenter", "segmenter_crf"} <= read_json(run / "metrics.json").keys()


def evaluates(beginning: str) -> None:
    @row(beginning)
    def case(shop: Shop, told: Row) -> None:
        (command,) = told.commands
        names = "VOC2012/ImageSets/Segmentation/val.txt"
        shop.type(command, "--json", "figures.json", MASKS=shop.spoilt, LIST=names)
        figures = read_json(Path("figures.json"))
        photos = shop.val if "LIST" in command else [*shop.photos, *shop.val]
        pairs = [(read_label(shop.spoilt / f"{p.name}.png"), read_label(p.mask)) for p in photos]
        assert figures["images"] == len(photos)
        assert figures["miou"] == pytest.approx(mean_iou(pairs), abs=1e-6)
        assert 0.2 < figures["miou"] < 0.9


evaluates("`evaluation.py --type png`")
evaluates("`VOCevalseg.m`")


@row("`evaluation.py --type npy")
def case_curve(shop: Shop, told: Row) -> None:
    (command,) = told.commands
    run = shop.run(command, "--out", "runs/curve", RECIPE="voc12-resnet38", D=shop.cams)
    cam = read_json(run / "metrics.json")["cam"]
    assert len(cam["curve"]) == len(cam["thresholds"]) == 60
    for place in (0, 40, 50):  # background where no CAM exceeds the threshold
        pairs = []
        for photo in shop.photos:
            cams = np.stack([shown(photo, index) for index in photo.classes])
            best = np.array(photo.classes)[cams.argmax(0)]
            pairs.append((np.where(cams.max(0) > cam["thresholds"][place], best, 0), read_label(photo.mask)))
        assert cam["curve"][place] == pytest.approx(mean_iou(pairs), abs=1e-6)
    assert cam["curve"][50] < 1
    assert f"best: 100.0 at {cam['threshold']:.2f}" in (run / "report.html").read_text(encoding="utf-8")


@row("lists `voc12/train.txt`")
def case_lists(shop: Shop, told: Row) -> None:
    lists = Path("VOC2012/ImageSets/Segmentation")
    theirs = Path("voc12/train_aug.txt")
    theirs.parent.mkdir()
    names = [photo.name for photo in shop.photos]
    theirs.write_text("".join(f"/JPEGImages/{n}.jpg /SegmentationClassAug/{n}.png\n" for n in names))
    taken, made = told.commands
    shop.type(taken)
    assert (lists / "train_aug.txt").read_text().split() == names
    (lists / "train_aug.txt").unlink()
    os.symlink("SegmentationClass", "VOC2012/SegmentationClassAug")
    shop.type(made)
    assert (lists / "train_aug.txt").read_text().split() == sorted(names)
    assert len((lists / "trainval.txt").read_text().split()) == PHOTOS + 2


@row("`cls_labels.npy`")
def case_labels(shop: Shop, told: Row) -> None:
    """The CAMs that a run keeps are those of the classes that its image labels name."""
    (command,) = told.commands
    for photo in shop.photos:
        classes = sorted({*photo.classes, *shop.annotated[photo.name]})
        maps = {index - 1: shown(photo, index) for index in classes}
        foreign_files.write_pickle(Path("annotated") / f"{photo.name}.npy", maps)
    more = ("seeds.method=cam_files", "seeds.folder=annotated", "--to", "crf", "--out", "runs/xml")
    run = shop.run(command, *more, RECIPE="voc12-resnet38")
    kept = {path.stem: tuple(read_scores(path).classes) for path in (run / "infer_cam/scores").iterdir()}
    assert kept == {photo.name: shop.annotated[photo.name] for photo in shop.photos}
    assert any(kept[photo.name] != photo.classes for photo in shop.photos)


@row("`wget")
def case_fetch(shop: Shop, told: Row) -> None:
    Path("site").mkdir()
    Path("photo.jpg").write_bytes(b"a photo")
    handler = partial(SimpleHTTPRequestHandler, directory="site")
    with pytest.MonkeyPatch.context() as patch, ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        patch.setenv("no_proxy", "127.0.0.1")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        for name, archive in list(ARCHIVES.items()):
            path = Path("site") / archive.url.rpartition("/")[2]
            with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as packed:
                packed.add("photo.jpg", f"{archive.unpacked}/photo.jpg")
            digest = hashlib.md5(path.read_bytes()).hexdigest()
            url = f"http://127.0.0.1:{server.server_port}/{path.name}"
            patch.setitem(ARCHIVES, name, archive._replace(url=url, md5=digest))
        for command in told.commands:
            shop.type(command)
        server.shutdown()
        thread.join()
    for archive in ARCHIVES.values():
        assert (Path("data") / archive.unpacked / "photo.jpg").read_bytes() == b"a photo"


@row("archive for VOC's test server")
def case_package(shop: Shop, told: Row) -> None:
    (command,) = told.commands
    out = shop.type(command, MASKS=shop.masks, LIST="VOC2012/ImageSets/Segmentation/val.txt")
    inside = "results/VOC2012/Segmentation/comp6_test_cls"
    with tarfile.open(out) as archive:
        assert set(archive.getnames()) == {f"{inside}/{photo.name}.png" for photo in shop.val}
        for photo in shop.val:
            with Image.open(archive.extractfile(f"{inside}/{photo.name}.png")) as packed:
                assert packed.mode == "P"
                assert np.array_equal(np.asarray(packed), read_label(shop.masks / f"{photo.name}.png"))
