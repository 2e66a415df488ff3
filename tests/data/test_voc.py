"""Folders in VOC's layout: image-level labels from masks, XML and label files; every mistake named with its remedy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sbnet.data.datasets.labels import VOC_CLASSES, class_ids, read_class_names, read_label_file
from sbnet.data.datasets.voc.folder import read_voc
from sbnet.data.training.dataset import label_files
from sbnet.errors import SBNetError

NAMES = ("background", "cat", "dog", "traffic light")


def _list(root: Path, text: str, split: str = "train") -> None:
    (root / f"ImageSets/Segmentation/{split}.txt").write_text(text)


def _annotate(root: Path, name: str, *objects: str) -> None:
    (root / "Annotations").mkdir(exist_ok=True)
    items = "\n".join(
        f"<object>\n<name>{item}</name><part><name>head</name></part></object>" for item in objects
    )
    (root / f"Annotations/{name}.xml").write_text(f"<annotation>\n{items}\n</annotation>")


def test_labels_from_masks(folder: Path) -> None:
    pets = read_voc(folder, "train")
    assert pets.classes == ("background", "cat", "dog")
    assert [photo.name for photo in pets] == ["a", "b", "c"]
    assert [photo.classes for photo in pets] == [(1,), (2,), (1, 2)]
    assert pets.photos[0].path == folder / "JPEGImages/a.jpg"
    assert pets.photos[0].mask == folder / "SegmentationClass/a.png"
    assert pets.name == "pets/train"
    assert read_voc(folder, "train", labels="masks") == pets


def test_labels_from_xml_where_there_is_no_mask(folder: Path) -> None:
    (folder / "SegmentationClass/a.png").unlink()
    _annotate(folder, "a", "dog", "cat", "dog")
    _annotate(folder, "b", "cat")
    _annotate(folder, "c")
    auto = read_voc(folder, "train")
    assert [photo.classes for photo in auto] == [(1, 2), (2,), (1, 2)]
    assert auto.photos[0].mask is None
    assert [photo.classes for photo in read_voc(folder, "train", labels="xml")] == [(1, 2), (1,), ()]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("labels.txt", "a dog\n\nb background cat\nc cat dog cat\nelsewhere cat\n"),
        ("labels.csv", "name,classes\na,dog\nb,background;cat\nc,cat; dog;cat\nelsewhere,cat\n"),
        ("plain.csv", '\ufeffa,"dog"\nb,cat\nc,dog;cat;\n'),
    ],
)
def test_labels_from_a_file(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text, encoding="utf-8")
    pets = read_voc(folder, "train", labels=folder / name)
    assert [photo.classes for photo in pets] == [(2,), (1,), (1, 2)]
    assert pets.photos[0].mask is not None


def test_photos_of_other_suffixes_and_voc_class_names(folder: Path) -> None:
    Image.open(folder / "JPEGImages/a.jpg").save(folder / "JPEGImages/e.PNG", "png")
    (folder / "classes.txt").unlink()
    _list(folder, "e\na\n")
    (folder / "labels.txt").write_text("a aeroplane\ne tvmonitor person\n")
    photos = read_voc(folder, "train", labels=folder / "labels.txt")
    assert photos.classes == VOC_CLASSES
    assert [(photo.path.name, photo.classes) for photo in photos] == [("e.PNG", (15, 20)), ("a.jpg", (1,))]


def test_suffixes_in_capitals(folder: Path) -> None:
    expected = read_voc(folder, "train")
    for name in ("JPEGImages/a.jpg", "SegmentationClass/a.png", "SegmentationClass/b.png"):
        path = folder / name
        path.rename(path.with_suffix(path.suffix.upper()))
    found = read_voc(folder, "train")
    assert [photo.classes for photo in found] == [photo.classes for photo in expected]
    assert [photo.mask.name for photo in found if photo.mask] == ["a.PNG", "b.PNG", "c.png"]
    assert label_files(folder / "SegmentationClass", found) == [photo.mask for photo in found]


def test_of_two_photos_or_masks_of_one_name_none_is_taken(folder: Path) -> None:
    for name, other in (("JPEGImages/a.jpg", "a.PNG"), ("SegmentationClass/b.png", "b.PNG")):
        second = (folder / name).with_name(other)
        Image.new("L", (4, 4)).save(second, "png")
        pair = " and ".join(sorted((Path(name).name, other)))
        with pytest.raises(SBNetError, match=rf"{Path(name).parent}: both {pair} are named"):
            read_voc(folder, "train")
        second.unlink()
    assert len(read_voc(folder, "train")) == 3


def test_class_list_with_background_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("background\ncat\n\n traffic light \n")
    assert read_class_names(tmp_path / "classes.txt") == ("background", "cat", "traffic light")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cat\ndog\ncat\n", "line 3: 'cat' is on line 1 already"),
        ("cat\nbackground\n", "line 2: 'background' has id 0"),
        ("background\n", "empty"),
    ],
)
def test_class_list_mistakes(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "classes.txt").write_text(text)
    with pytest.raises(SBNetError, match=message):
        read_class_names(tmp_path / "classes.txt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\nb\na\n", r"train\.txt, line 3: 'a' is on line 1 already: remove one"),
        (
            "a\nbb\n",
            r"train\.txt, line 2: there is no image 'bb' in .*JPEGImages: add it",
        ),
        (
            "a\nb.jpg\n",
            r"line 2: there is no image 'b\.jpg' in .*JPEGImages: write 'b', without folder and suffix",
        ),
        ("\n", r"train\.txt: the list is empty"),
        ("../a\n", r"there is no image '\.\./a'"),
    ],
)
def test_list_mistakes(folder: Path, text: str, message: str) -> None:
    _list(folder, text)
    with pytest.raises(SBNetError, match=message):
        read_voc(folder, "train")


def test_missing_folders_and_lists(folder: Path) -> None:
    with pytest.raises(SBNetError, match=r"trian\.txt.*did you mean 'train'.*it has all, train"):
        read_voc(folder, "trian")
    with pytest.raises(SBNetError, match="there is no such folder: give"):
        read_voc(folder / "nowhere", "train")
    with pytest.raises(SBNetError, match=r"there is no such folder \(did you mean 'pets'\?\)"):
        read_voc(folder.with_name("pet"), "train")
    with pytest.raises(SBNetError, match=re.escape(f"did you mean '{folder}'")):
        read_voc(folder.parent, "train")
    with pytest.raises(SBNetError, match=re.escape(f"did you mean '{folder}'")):
        read_voc(folder / "JPEGImages", "train")
    with pytest.raises(SBNetError, match=r"none\.csv' is neither a file nor one of auto, masks, xml"):
        read_voc(folder, "train", labels=folder / "none.csv")
    with pytest.raises(SBNetError, match="did you mean 'masks'"):
        read_voc(folder, "train", labels="mask")


def test_a_list_of_another_encoding(folder: Path) -> None:
    (folder / "ImageSets/Segmentation/train.txt").write_bytes("h\u00e9\n".encode("latin-1"))
    with pytest.raises(SBNetError, match=r"train\.txt: the list cannot be read .*UTF-8"):
        read_voc(folder, "train")


def test_photo_without_labels(folder: Path) -> None:
    (folder / "SegmentationClass/b.png").unlink()
    with pytest.raises(SBNetError, match=r"line 2: image 'b' has neither .*Annotations/b\.xml.*label file"):
        read_voc(folder, "train")
    with pytest.raises(SBNetError, match=r"line 2: image 'b' has no mask in .*add b\.png"):
        read_voc(folder, "train", labels="masks")
    with pytest.raises(SBNetError, match="line 1: image 'a' has no annotation"):
        read_voc(folder, "train", labels="xml")
    (folder / "labels.txt").write_text("a cat\nc dog\n")
    with pytest.raises(SBNetError, match=r"line 2: image 'b' is not in .*labels\.txt"):
        read_voc(folder, "train", labels=folder / "labels.txt")
    for line in ("b.jpg dog", "b,dog", "b: dog"):
        (folder / "labels.txt").write_text(f"a cat\n{line}\nc cat\n")
        with pytest.raises(
            SBNetError, match=r"'b' is not in .*labels\.txt: on its line 2, write 'b' without"
        ):
            read_voc(folder, "train", labels=folder / "labels.txt")
    with pytest.raises(SBNetError, match=r"lables\.txt' is neither a file .*did you mean 'labels\.txt'"):
        read_voc(folder, "train", labels=folder / "lables.txt")


def test_a_forgotten_class_list(folder: Path) -> None:
    (folder / "classes.txt").unlink()
    (folder / "labels.txt").write_text("a cat\nb tank\n")
    with pytest.raises(
        SBNetError, match=r"line 2: class 'tank' .* classes other than PASCAL VOC's .*into classes\.txt"
    ):
        read_voc(folder, "train", labels=folder / "labels.txt")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.txt", "a cat\nb catt\n", r"x\.txt, line 2: class 'catt' is not .*did you mean 'cat'"),
        ("x.csv", "name,class\na,cat;dgo\n", r"x\.csv, line 2: class 'dgo' is not .*did you mean 'dog'"),
        (
            "x.txt",
            "a cat\nb cat,dog\n",
            "line 2: class 'cat,dog' is not .*separate class names with spaces: cat dog",
        ),
        ("x.txt", "a cat\na dog\n", "line 2: image 'a' is on line 1 already"),
        ("x.csv", "a,cat,dog\n", "line 1: 'a,cat,dog' is not of the form name,class;class"),
    ],
)
def test_label_file_mistakes(folder: Path, name: str, text: str, message: str) -> None:
    (folder / name).write_text(text, encoding="utf-8")
    with pytest.raises(SBNetError, match=message):
        read_voc(folder, "train", labels=folder / name)


def test_annotation_mistakes(folder: Path) -> None:
    _annotate(folder, "a", "cat", "hound")
    with pytest.raises(SBNetError, match=r"a\.xml, line 5: class 'hound' is not"):
        read_voc(folder, "train", labels="xml")
    (folder / "Annotations/a.xml").write_text("<annotation><object>")
    with pytest.raises(SBNetError, match=r"a\.xml: not a complete XML file"):
        read_voc(folder, "train", labels="xml")


def test_mask_beyond_the_class_list(folder: Path) -> None:
    (folder / "classes.txt").write_text("cat\n")
    with pytest.raises(SBNetError, match=r"b\.png: the mask has the class id 2, but there are 2 classes"):
        read_voc(folder, "train")


BLANKS = ("background", "dining table", "dog", "trafficlight", "potted plant in a pot", "plant")


@pytest.mark.parametrize(
    ("line", "remedy"),
    [
        ("p dining table", r"need the CSV form: .* labels\.csv, .* 'p,dining table'"),
        ("p dog dining table plant", "'p,dog;dining table;plant'"),
        ("p potted plant in a pot dog", "'p,potted plant in a pot;dog'"),
        ("p traffic light dog", r"did you mean 'trafficlight'\?"),
        ("my image dog", r"names with spaces need the CSV form \(labels\.csv, with lines 'name,class;class'"),
        ("p,dining table", r"need the CSV form \(labels\.csv"),
        ("p dgo plant", r"did you mean 'dog'\?\): fix it or add the class to the list"),
        ("p dining tabel", r"did you mean 'dining table'\?.* need the CSV form"),
    ],
)
def test_names_with_blanks_in_a_text_file(tmp_path: Path, line: str, remedy: str) -> None:
    path = tmp_path / "labels.txt"
    path.write_text(f"a dog\n{line}\n")
    with pytest.raises(
        SBNetError, match=rf"labels\.txt, line 2: class '\S+' is not in the class list.*{remedy}"
    ):
        read_label_file(path, BLANKS)


@given(present=st.lists(st.sampled_from(BLANKS[1:]), min_size=1, unique=True))
def test_the_remedy_of_names_with_blanks_is_right(
    tmp_path_factory: pytest.TempPathFactory, present: list[str]
) -> None:
    """What the message says to write is read as what was meant."""
    folder = tmp_path_factory.mktemp("labels")
    path = folder / "labels.txt"
    path.write_text(f"p {' '.join(present)}\n")
    if not any(" " in name for name in present):
        assert len(read_label_file(path, BLANKS).classes["p"]) == len(present)
        return
    with pytest.raises(SBNetError) as refusal:
        read_label_file(path, BLANKS)
    (folder / "labels.csv").write_text("name,classes\n" + str(refusal.value).rsplit("'", 2)[1])
    ids = tuple(sorted(BLANKS.index(name) for name in present))
    assert read_label_file(folder / "labels.csv", BLANKS).classes == {"p": ids}


labels_of_photos = st.dictionaries(
    st.text(st.characters(exclude_categories=("Z", "C")), min_size=1, max_size=8).filter(
        lambda name: name != "name" and not name.startswith("\ufeff")
    ),
    st.sets(st.sampled_from((1, 2, 3))),
    max_size=5,
)


@given(labels=labels_of_photos)
def test_csv_label_file_round_trip(
    tmp_path_factory: pytest.TempPathFactory, labels: dict[str, set[int]]
) -> None:
    path = tmp_path_factory.mktemp("labels") / "labels.csv"
    quoted = {name: '"' + name.replace('"', '""') + '"' for name in labels}
    lines = [f"{quoted[name]},{';'.join(NAMES[index] for index in ids)}" for name, ids in labels.items()]
    path.write_text("\n".join(lines), encoding="utf-8")
    assert read_label_file(path, NAMES).classes == {name: tuple(sorted(ids)) for name, ids in labels.items()}


@given(words=st.lists(st.sampled_from(NAMES)))
def test_class_ids_are_sorted_unique_and_without_background(words: list[str]) -> None:
    ids = class_ids(words, NAMES, where="here")
    assert set(ids) == {NAMES.index(word) for word in words} - {0}
    assert list(ids) == sorted(set(ids))


def test_photos_without_class_are_told_with_their_lines(folder: Path) -> None:
    (folder / "labels.txt").write_text("c\nb\n\na cat\nd\n")
    (folder / "Annotations").mkdir()
    for name in "abc":
        (folder / f"Annotations/{name}.xml").write_text("<annotation></annotation>")
    for labels, place in (
        (
            folder / "labels.txt",
            r"train\.txt, line 2: image 'b' has no class in .*labels\.txt, line 2 \(and 1 ",
        ),
        (
            "xml",
            r"train\.txt, line 1: image 'a' has no class in .*Annotations/a\.xml \(and 2 more\): every training",
        ),
    ):
        with pytest.raises(SBNetError, match=place):
            read_voc(folder, "train", labels=labels).check_trainable()
    with pytest.raises(
        SBNetError, match=r"all\.txt, line 4: image 'd' has no class in .*SegmentationClass/d\.png: every tr"
    ):
        read_voc(folder, "all").check_trainable()


def test_masks_of_another_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = folder / "SegmentationClassAug"
    other.mkdir()
    (folder / "SegmentationClass/a.png").rename(other / "a.png")
    (folder / "labels.txt").write_text("a cat\nb cat\nc cat\n")
    for masks in ("SegmentationClassAug", other, Path("..") / folder.name / other.name):
        monkeypatch.chdir(folder)
        found = read_voc(folder, "train", labels=folder / "labels.txt", masks=masks)
        assert [photo.mask and photo.mask.resolve() for photo in found] == [other / "a.png", None, None]
    with pytest.raises(
        SBNetError, match=r"line 2: image 'b' has no mask in .*SegmentationClassAug: add b\.png"
    ):
        read_voc(folder, "train", labels="masks", masks="SegmentationClassAug")
    with pytest.raises(
        SBNetError, match=r"no folder 'SegmentationClasAug' in .*did you mean 'SegmentationClassAug'"
    ):
        read_voc(folder, "train", masks="SegmentationClasAug")
    (other / "a.png").rename(other / "z.png")
    with pytest.raises(SBNetError, match=r"none of the 3 images of .*train\.txt has a mask in .*ClassAug"):
        read_voc(folder, "train", labels=folder / "labels.txt", masks="SegmentationClassAug")


def test_classes_have_ids_below_255(tmp_path: Path) -> None:
    path = tmp_path / "classes.txt"
    path.write_text("".join(f"class {index}\n" for index in range(254)))
    assert len(read_class_names(path)) == 255
    path.write_text(path.read_text() + "one more\n")
    with pytest.raises(SBNetError, match=r"classes.txt: 256 classes with background, but at most 255 fit"):
        read_class_names(path)
