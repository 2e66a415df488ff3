"""VOC's protocol: what is on disk, the lists, and the test server's archive."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.io import savemat

from sbnet.data.datasets.findings import Findings
from sbnet.data.datasets.voc.check import check_voc
from sbnet.data.datasets.voc.folder import read_voc
from sbnet.data.datasets.voc.lists import make_lists, read_sbd_mask, take_list, write_sbd_masks
from sbnet.data.datasets.voc.package import package_masks
from sbnet.data.datasets.voc.sources import find_sbd
from sbnet.data.io.files import read_label, write_label
from sbnet.data.io.image import read_mask
from sbnet.data.io.palette import PALETTE
from sbnet.errors import SBNetError

LISTS = "ImageSets/Segmentation"
INSIDE = "results/VOC2012/Segmentation/comp6_test_cls"


def _annotate(root: Path, name: str, *classes: str) -> None:
    (root / "Annotations").mkdir(exist_ok=True)
    text = "".join(f"<object><name>{one}</name></object>" for one in classes)
    (root / f"Annotations/{name}.xml").write_text(f"<annotation>{text}</annotation>")


def _sbd_mask(path: Path, label: np.ndarray) -> None:
    """As SBD has it: a struct GTcls with Segmentation among its fields."""
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, {"GTcls": {"Segmentation": label, "CategoriesPresent": np.unique(label[label > 0])}})


@pytest.fixture
def voc(folder: Path) -> Path:
    """train: a, b; val: c; no list names d."""
    (folder / f"{LISTS}/all.txt").unlink()
    (folder / f"{LISTS}/train.txt").write_text("a\nb\n")
    (folder / f"{LISTS}/val.txt").write_text("c\n")
    return folder


def _told(found: Findings) -> dict[str, str]:
    """Title -> text; of titles that come twice the last."""
    return {line.title: line.text for line in found.lines}


def _differing(found: Findings) -> list[tuple[str, list[str]]]:
    """Text and details of annotations beside masks."""
    return [(line.text, list(line.details)) for line in found.lines if line.title == "image labels"]


def test_what_is_there_and_what_is_missing(voc: Path) -> None:
    _annotate(voc, "a", "cat")
    _annotate(voc, "b", "dog", "cat")
    _annotate(voc, "c", "cat")
    _annotate(voc, "z", "dog")
    (voc / "SegmentationClass/d.png").unlink()
    (voc / f"{LISTS}/mine.txt").write_text("d\na\n")
    found = check_voc(voc)
    told = _told(found)
    assert told["JPEGImages"] == f"4 files in {voc / 'JPEGImages'}"
    assert told["SegmentationClass"] == f"3 files in {voc / 'SegmentationClass'}"
    assert told["Annotations"] == f"4 files in {voc / 'Annotations'}"
    assert told["SegmentationClassAug"] == told["SBD"] == told["list train_aug"] == "missing"
    assert told["list train"] == "2 images, none without a mask in SegmentationClass"
    assert told["list mine"] == "2 images, 1 without a mask in SegmentationClass"
    differences = ["b: only in its annotation: cat", "c: only in its mask: dog"]
    text = "3 images have both annotation and mask in SegmentationClass; 2 differ"
    assert _differing(found) == [(text, differences)]
    assert found.problems == []


def test_each_folder_of_masks_is_looked_at_by_itself(voc: Path) -> None:
    """A run reads the one or the other: neither hides what the other has or lacks."""
    masks, aug = voc / "SegmentationClass", voc / "SegmentationClassAug"
    shutil.copytree(masks, aug)
    (aug / "a.png").write_bytes(b"junk")  # masks/a.png is good
    (masks / "b.png").unlink()
    (aug / "c.png").unlink()
    write_label(aug / "d.png", np.full((9, 40), 2, np.uint8))  # another class than in masks
    (voc / f"{LISTS}/train_aug.txt").write_text("a\nb\nd\n")
    for name in "abcd":
        _annotate(voc, name, "dog" if name == "b" else "cat")
    found = check_voc(voc)
    told = _told(found)
    assert told["SegmentationClass"].startswith("3 files")
    assert told["SegmentationClassAug"].startswith("3 files")
    for name, first, second in (("train", "1", "none"), ("val", "none", "1"), ("train_aug", "1", "none")):
        assert f", {first} without a mask in SegmentationClass, {second} without" in told[f"list {name}"]
    (problem,) = found.problems
    assert str(aug / "a.png") in problem
    assert [details for _, details in _differing(found)] == [
        ["c: only in its mask: dog", "d: only in its annotation: cat"],
        ["d: only in its annotation: cat; only in its mask: dog"],
    ]
    with pytest.raises(SBNetError, match=r"Aug.a\.png"):  # and so says the run
        read_voc(voc, "train", labels="masks", masks=aug.name)


def test_voc_s_own_numbers_go_with_voc_s_classes(voc: Path) -> None:
    (voc / "classes.txt").unlink()
    told = _told(check_voc(voc))
    assert told["JPEGImages"].endswith("JPEGImages (VOC 2012 has 17125)")
    assert told["SBD"] == "missing (VOC 2012 has 11355)"
    assert told["SegmentationClassAug"] == "missing"
    for name, whole in (("train", 1464), ("val", 1449), ("trainval", 2913), ("train_aug", 10582)):
        assert told[f"list {name}"].endswith(f" (VOC 2012 has {whole})")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: (root / f"{LISTS}/val.txt").write_text("c\nb\n"), "1 image also in val.txt"),
        (lambda root: (root / f"{LISTS}/x.txt").write_text("a\nq\n"), "1 of 2 images are not in JPEGImages"),
        (lambda root: (root / f"{LISTS}/x.txt").write_text("a\na\n"), "'a' is on line 1 already"),
        (lambda root: (root / "SegmentationClass/a.png").write_bytes(b"x"), "a.png: the mask cannot be read"),
        (lambda root: write_label(root / "SegmentationClass/a.png", np.zeros((2, 2), np.uint8)), "make them"),
        (lambda root: _annotate(root, "a", "catt"), "did you mean 'cat'"),
    ],
)
def test_problems_are_told_and_the_rest_goes_on(voc: Path, change, message: str) -> None:
    change(voc)
    found = check_voc(voc)
    (problem,) = found.problems
    assert message in problem
    assert found.lines[-1].title == "classes"


def test_sbd_is_found_in_and_beside(voc: Path) -> None:
    assert find_sbd(voc) is None
    for place in ("benchmark_RELEASE/dataset/cls", "../SBD/cls", "../benchmark_RELEASE/dataset/cls"):
        _sbd_mask(voc / place / "d.mat", np.zeros((2, 2), np.uint8))
        found = find_sbd(voc)
        assert found is not None
        assert found.samefile(voc / place)
        assert _told(check_voc(voc))["SBD"].startswith("1 files in ")
        shutil.rmtree(voc / place)
    assert find_sbd(voc, voc) is None


@pytest.mark.parametrize("kind", ["sbd", "png"])
def test_lists_are_made(voc: Path, kind: str) -> None:
    for name in "acdq":  # c is of val, q has no image
        if kind == "sbd":
            _sbd_mask(voc / f"SBD/dataset/cls/{name}.mat", np.ones((9, 40), np.uint8))
        else:
            write_label(voc / f"SegmentationClassAug/{name}.png", np.ones((9, 40), np.uint8))
    trainval, train_aug = make_lists(voc)
    assert trainval.path.read_text() == "a\nb\nc\n"
    assert train_aug.path.read_text() == "a\nb\nd\n"
    assert (train_aug.photos, train_aug.without_photo, train_aug.written) == (3, 1, True)
    train_aug.path.write_text("d\n")
    assert make_lists(voc)[1] == (train_aug.path, 1, 0, False)
    assert train_aug.path.read_text() == "d\n"


@given(sets=st.tuples(*[st.sets(st.sampled_from("abcdefgh"), min_size=1)] * 3))
def test_train_aug_never_holds_a_photo_of_val(
    tmp_path_factory: pytest.TempPathFactory, sets: tuple[set[str], ...]
) -> None:
    train, val, extra = sets
    root = tmp_path_factory.mktemp("voc")
    for folder in ("JPEGImages", LISTS, "SegmentationClassAug"):
        (root / folder).mkdir(parents=True)
    for name in "abcdefgh":
        (root / f"JPEGImages/{name}.jpg").touch()
    for name in extra:
        (root / f"SegmentationClassAug/{name}.png").touch()
    (root / f"{LISTS}/train.txt").write_text("\n".join(train))
    (root / f"{LISTS}/val.txt").write_text("\n".join(val))
    made = make_lists(root)
    assert made[0].path.read_text().split() == sorted(train | val)
    assert made[1].path.read_text().split() == sorted((train | extra) - val)


def test_masks_of_train_aug(voc: Path) -> None:
    label = np.arange(9 * 40, dtype=np.uint8).reshape(9, 40) % 21
    _sbd_mask(voc / "SBD/cls/a.mat", np.ones((24, 32), np.uint8))
    _sbd_mask(voc / "SBD/cls/d.mat", label)
    (voc / "SegmentationClass/d.png").unlink()
    make_lists(voc)
    assert write_sbd_masks(voc) == 4  # c is val's
    assert {path.stem for path in (voc / "SegmentationClassAug").iterdir()} == set("abcd")
    np.testing.assert_array_equal(read_label(voc / "SegmentationClassAug/d.png"), label)
    own = (voc / "SegmentationClass/a.png").read_bytes()
    assert (voc / "SegmentationClassAug/a.png").read_bytes() == own  # VOC's own mask, not SBD's
    assert write_sbd_masks(voc) == 0
    (voc / "SegmentationClassAug/d.png").unlink()
    (voc / "SBD/cls/d.mat").unlink()
    with pytest.raises(SBNetError, match="'d' has no mask, neither in"):
        write_sbd_masks(voc)


def test_lists_without_their_sources(voc: Path, tmp_path: Path) -> None:
    with pytest.raises(SBNetError, match=r"neither SBD .* nor SegmentationClassAug is there; SBD: http"):
        make_lists(voc)
    with pytest.raises(SBNetError, match=r"there is no cls/NAME\.mat in it"):
        make_lists(voc, sbd=tmp_path)
    (voc / f"{LISTS}/val.txt").unlink()
    with pytest.raises(SBNetError, match=r"val\.txt: there is no such list; http"):
        make_lists(voc)
    assert not (voc / f"{LISTS}/trainval.txt").exists()


def test_foreign_mat_files(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    for write in (
        lambda: path.write_bytes(b"MATLAB 5.0"),
        lambda: savemat(path, {"other": 1}),
        lambda: _sbd_mask(path, np.full((2, 2), 21, np.uint8)),
        lambda: _sbd_mask(path, np.zeros((2, 2))),
    ):
        write()
        with pytest.raises(SBNetError, match=r"a\.mat: not a class mask of SBD"):
            read_sbd_mask(path)


def test_a_list_of_the_reference_is_taken_over(voc: Path, tmp_path: Path) -> None:
    source = tmp_path / "train_aug.txt"
    source.write_text("/JPEGImages/d.jpg /SegmentationClassAug/d.png\n/JPEGImages/a.jpg /x/a.png\n")
    made = take_list(voc, source)
    assert made.written
    assert [photo.name for photo in read_voc(voc, "train_aug")] == ["d", "a"]
    assert not take_list(voc, source).written
    source.write_text("a\n")
    with pytest.raises(SBNetError, match="already exists with other images"):
        take_list(voc, source)
    for text, message in (
        ("/JPEGImages/q.jpg x\n", "line 1: there is no image 'q'"),
        ("a\n/J/a.jpg\n", "line 2"),
    ):
        source.write_text(text)
        with pytest.raises(SBNetError, match=message):
            take_list(voc, source)


def test_package(voc: Path, tmp_path: Path) -> None:
    masks, out = tmp_path / "masks", tmp_path / "results.tar.gz"
    rng = np.random.default_rng(0)
    sizes = {"a": (24, 32), "b": (32, 24), "x": (5, 5)}  # as the images; x has none
    labels = {name: rng.integers(0, 21, size, dtype=np.uint8) for name, size in sizes.items()}
    for name, label in labels.items():
        write_label(masks / f"{name}.png", label)
    Image.fromarray(labels["a"]).save(masks / "a.png")  # grey, as other tools write ids
    names = voc / f"{LISTS}/train.txt"
    done = package_masks(masks, out, names=names, photos=voc / "JPEGImages")
    assert done == (2, 1)
    with tarfile.open(out) as archive:
        assert archive.getnames() == [f"{INSIDE}/a.png", f"{INSIDE}/b.png"]
        archive.extractall(tmp_path / "got", filter="data")
    for name in "ab":
        path = tmp_path / "got" / INSIDE / f"{name}.png"
        with Image.open(path) as image:
            assert image.mode == "P"
            assert image.getpalette("RGB") == PALETTE.reshape(-1).tolist()
        np.testing.assert_array_equal(read_mask(path, classes=21), labels[name])
    first = out.read_bytes()
    package_masks(masks, out, names=names)
    assert out.read_bytes() == first
    package_masks(masks, tmp_path / "all.tar", competition="comp5")
    with tarfile.open(tmp_path / "all.tar") as archive:
        assert archive.getnames() == [
            f"results/VOC2012/Segmentation/comp5_test_cls/{name}.png" for name in "abx"
        ]


def test_package_refuses(voc: Path, tmp_path: Path) -> None:
    masks, out = tmp_path / "masks", tmp_path / "results.tar.gz"
    label = np.zeros((24, 32), np.uint8)
    write_label(masks / "a.png", label)

    def refused(message: str, **options: Path) -> None:
        with pytest.raises(SBNetError, match=message):
            package_masks(masks, out, **options)
        assert not out.exists()

    refused(
        r"1 of 2 masks of .*train\.txt are missing \('b' is the first\)", names=voc / f"{LISTS}/train.txt"
    )
    refused("no such folder of images", photos=voc / "nowhere")
    write_label(masks / "a.png", label + 255)
    refused(r"768 pixels are 255: the server requires a class")
    write_label(masks / "a.png", label + 21)
    refused("the mask has the class id 21")
    write_label(masks / "a.png", label[:5])
    refused("the mask has 32 x 5 pixels, its image", photos=voc / "JPEGImages")
    Image.fromarray(label).convert("RGB").save(masks / "a.png")
    refused("this one is RGB")
    (masks / "a.png").rename(masks / "z.png")
    refused("there is no image 'z'", photos=voc / "JPEGImages")
    with pytest.raises(SBNetError, match=r"name it \.tar\.gz"):
        package_masks(masks, tmp_path / "results.zip")
