"""COCO's instances file, image-level labels and masks; in VOC's layout; and what of a file is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as run_lengths

import coco_folder
from sbnet.data.datasets.coco.folder import find_list, is_coco
from sbnet.data.datasets.coco.instances import Instance, Picture, read_instances
from sbnet.data.datasets.coco.layout import labelled_photos
from sbnet.data.datasets.coco.masks import draw
from sbnet.data.datasets.voc.folder import read_voc
from sbnet.data.datasets.voc.write import check_free, label_file, write_voc
from sbnet.errors import SBNetError

SQUARE = [1.0, 1.0, 3.0, 1.0, 3.0, 3.0, 1.0, 3.0]
shapes = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 1))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    """No test changes it."""
    root = tmp_path_factory.mktemp("coco")
    return root, coco_folder.make(root)


def picture(*instances: Any, size: tuple[int, int] = (5, 6)) -> Picture:
    """Of (category, area, shape)."""
    numbered = (Instance(number, *one) for number, one in enumerate(instances, start=1))
    return Picture(7, "a.jpg", size, tuple(numbered))


def drawn(*instances: Any, size: tuple[int, int] = (5, 6)) -> np.ndarray:
    return draw(picture(*instances, size=size), where="f")


def test_every_form_draws_the_true_masks(made: tuple[Path, dict[str, np.ndarray]]) -> None:
    root, truth = made
    for split in ("train2014", "val2014"):
        found = read_instances(root / f"annotations/instances_{split}.json")
        assert len(found.classes) == 81
        assert found.classes[:2] == ("background", "thing 1")
        assert found.classes[80] == "thing 90"
        assert found.without == 1
        for one in found.pictures:
            mask = draw(one, where="f")
            np.testing.assert_array_equal(mask, truth[one.name])
            assert mask.flags.c_contiguous
            assert one.classes == tuple(np.unique(truth[one.name][truth[one.name] > 0]))


@given(pixels=shapes, form=st.integers(0, 2))
def test_any_pixels_in_any_form(pixels: np.ndarray, form: int) -> None:
    shape = coco_folder.segmentation(pixels == 1, form)
    np.testing.assert_array_equal(drawn((9, None, shape), size=pixels.shape), pixels * 9)


@given(
    st.lists(
        st.lists(st.floats(-6, 12), min_size=6, max_size=12).filter(lambda values: len(values) % 2 == 0),
        min_size=1,
        max_size=3,
    )
)
def test_polygons_are_pycocotools_polygons(several: list[list[float]]) -> None:
    """Those that run over the edge among them."""
    expected = run_lengths.decode(run_lengths.merge(run_lengths.frPyObjects(several, 6, 6)))
    np.testing.assert_array_equal(drawn((1, 1.0, several), size=(6, 6)), expected)


def test_the_smaller_lies_on_top_and_crowds_beneath() -> None:
    pixels = np.ones((5, 6), bool)
    crowd = {"size": [5, 6], "counts": [0, 30]}
    small = coco_folder.polygons(np.pad(pixels[:2, :2], ((1, 2), (1, 3))))
    for order in ([(1, 30.0, crowd), (2, 4.0, small)], [(2, 4.0, small), (1, 30.0, crowd)]):
        mask = drawn(*order)
        assert (mask == 2).sum() == 4
        assert (mask == 1).sum() == 26
    assert (drawn((1, None, crowd), (2, None, small)) == 2).sum() == 4  # counted where the file has no area
    assert (drawn((1, 3.0, crowd), (2, 4.0, small)) == 1).all()  # the file's area decides
    assert (drawn((1, 4.0, crowd), (2, 4.0, small)) == 1).all()  # of equal ones the first


@given(
    st.lists(
        st.tuples(
            arrays(bool, (5, 6)), st.integers(1, 80), st.one_of(st.none(), st.sampled_from([1.0, 7.5, 9.0]))
        ),
        min_size=1,
        max_size=6,
    )
)
def test_a_pixel_is_of_the_smallest_instance_that_has_it(
    instances: list[tuple[np.ndarray, int, float | None]],
) -> None:
    """Pixel by pixel; of equal areas the first; an area that the file lacks is the number of pixels."""
    shapes = [(index, area, coco_folder.compressed(pixels)) for pixels, index, area in instances]
    mask = drawn(*shapes)
    for place in np.ndindex(5, 6):
        having = [
            (pixels.sum() if area is None else area, number, index)
            for number, (pixels, index, area) in enumerate(instances)
            if pixels[place]
        ]
        assert mask[place] == (min(having)[2] if having else 0)


def test_instances_without_pixels_are_kept_as_labels() -> None:
    for nothing in (
        [],
        [[1, 1, 2, 2]],
        [[1.0, 1.0, 1.1, 1.0, 1.1, 1.1]],
        [[-4.0, -4.0, -2.0, -4.0, -2.0, -2.0]],
    ):
        one = picture((3, 0.0, nothing), (4, 1.0, [SQUARE]))
        assert set(np.unique(draw(one, where="f"))) == {0, 4}
        assert one.classes == (3, 4)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (None, "its segmentation is neither polygons nor run lengths: None"),
        (["abc"], "a polygon is 'abc', not finite numbers"),
        ([[1, 2, 3, 4, 5]], r"a polygon is \[1, 2, 3, 4, 5\], not finite"),
        ([[1, 2, 3, 4, float("nan"), 5]], "not finite numbers"),
        ([[1, 2, 3, 4, 5, 1e9]], "its point 5, 1e.09 is far outside the picture of 6 x 5 pixels"),
        ([{"a": 1}], "a polygon is"),
        ({"size": [6, 5], "counts": [30]}, "its run lengths are of 5 x 6 pixels, the picture has 6 x 5"),
        ({"size": [5, 6], "counts": [3, 3]}, "its run lengths count 6 pixels, the picture has 30"),
        ({"size": [5, 6], "counts": [31, -1]}, "its run lengths count 30 pixels"),
        ({"size": [5, 6], "counts": []}, "its run lengths count 0 pixels"),
        ({"size": [5, 6], "counts": "~~"}, "its run lengths are not 'size' and 'counts'"),
        ({"size": [5, 6], "counts": "o"}, "its run lengths are not 'size' and 'counts'"),
        ({"size": [5, 6], "counts": "é"}, "its run lengths are not 'size' and 'counts'"),
        ({"size": [5], "counts": [30]}, "its run lengths are not 'size' and 'counts'"),
        ({"counts": [30]}, "its run lengths are not 'size' and 'counts'"),
    ],
)
def test_shapes_that_cannot_be_drawn(shape: Any, message: str) -> None:
    with pytest.raises(SBNetError, match=rf"f: annotation 2 \(image 7, 'a\.jpg'\): .*{message}.*fix it"):
        draw(picture((1, 1.0, [SQUARE]), (1, 1.0, shape)), where="f")


@given(
    pixels=arrays(np.uint8, (5, 6), elements=st.integers(0, 1)),
    place=st.integers(0, 40),
    characters=st.text(st.characters(min_codepoint=40, max_codepoint=120), max_size=2),
)
def test_damaged_run_lengths_are_drawn_whole_or_refused(
    pixels: np.ndarray, place: int, characters: str
) -> None:
    """Those that cover less than the picture would show what stood in memory."""
    text = coco_folder.compressed(pixels)["counts"]
    shape = {"size": [5, 6], "counts": text[:place] + characters + text[place + 1 :]}
    try:
        mask = drawn((1, 1.0, shape))
    except SBNetError as error:
        told = str(error)
    else:
        np.testing.assert_array_equal(mask, run_lengths.decode(shape))
        return
    assert "its run lengths" in told


def test_through_voc_s_layout(made: tuple[Path, dict[str, np.ndarray]], tmp_path: Path) -> None:
    root, _ = made
    path, photos = find_list(root, "train")
    assert (path.name, photos) == ("instances_train2014.json", root / "train2014")
    found = labelled_photos(read_instances(path), photos)
    assert len(found) == 20
    found.check_trainable()
    for _ in range(2):  # twice gives the same
        write_voc(found, tmp_path / "voc", "train")
    again = read_voc(tmp_path / "voc", "train", labels=label_file(tmp_path / "voc", "train"))
    assert again.classes == found.classes
    assert [(one.name, one.classes) for one in again] == [(one.name, one.classes) for one in found]
    assert [one.path.resolve() for one in again] == [one.path.resolve() for one in found]
    link = tmp_path / "voc/JPEGImages" / found.photos[3].path.name
    link.unlink()
    link.symlink_to(tmp_path / "moved.jpg")  # dangling: images that were moved
    write_voc(found, tmp_path / "voc", "train")
    assert link.resolve() == found.photos[3].path.resolve()
    link.unlink()
    link.symlink_to(found.photos[4].path)
    with pytest.raises(SBNetError, match="is another image"):
        check_free(found, tmp_path / "voc")
    (tmp_path / "voc/classes.txt").write_text("cat\n")
    with pytest.raises(SBNetError, match="with other classes"):
        check_free(found, tmp_path / "voc")


def test_names_with_commas_survive(tmp_path: Path) -> None:
    """And folders before them."""
    photo = tmp_path / "inner/a, b.jpg"
    photo.parent.mkdir()
    photo.write_bytes(b"x")
    image = {"id": 1, "file_name": "inner/a, b.jpg", "height": 5, "width": 6}
    one = {"id": 1, "image_id": 1, "category_id": 90, "area": 4, "segmentation": [SQUARE]}
    found = labelled_photos(
        read_instances(coco_folder.write(tmp_path, "train2014", [image], [one])), tmp_path
    )
    write_voc(found, tmp_path / "voc", "train")
    again = read_voc(tmp_path / "voc", "train", labels=label_file(tmp_path / "voc", "train"))
    assert [(one.name, one.classes) for one in again] == [("a, b", (80,))]


def test_lists_are_found(made: tuple[Path, dict[str, np.ndarray]], tmp_path: Path) -> None:
    root, _ = made
    assert is_coco(root)
    assert not is_coco(tmp_path)
    assert find_list(root, "val2014") == find_list(root, "val")
    with pytest.raises(
        SBNetError,
        match=r"instances_trian\.json: there is no such file .did you mean 'train'.*it has train2014",
    ):
        find_list(root, "trian")
    coco_folder.write(tmp_path, "train2014", [], [])
    with pytest.raises(SBNetError, match=r"train2014: there is no such folder: unpack the images"):
        find_list(tmp_path, "train")
    (tmp_path / "images/train2014").mkdir(parents=True)
    assert find_list(tmp_path, "train")[1] == tmp_path / "images/train2014"
    coco_folder.write(tmp_path, "train2017", [], [])
    with pytest.raises(SBNetError, match="there are several; it has train2014, train2017"):
        find_list(tmp_path, "train")
    assert is_coco(tmp_path)
    (tmp_path / "JPEGImages").mkdir()
    assert not is_coco(tmp_path)
    with pytest.raises(SBNetError, match="there is no such file; it has none"):
        find_list(tmp_path / "nowhere", "train")


IMAGE = {"id": 1, "file_name": "a.jpg", "height": 5, "width": 6}
ANNOTATION = {"id": 4, "image_id": 1, "category_id": 90, "area": 4.0, "segmentation": [SQUARE]}


@pytest.mark.parametrize(
    ("images", "annotations", "message"),
    [
        ([IMAGE], [ANNOTATION | {"image_id": 2}], "annotation 4 .*: 2 is not in 'images'"),
        (
            [IMAGE],
            [ANNOTATION | {"category_id": 12}],
            r"annotation 4 \(image 1, .*: 12 is not in 'categories'",
        ),
        ([IMAGE], [], "no image has an instance"),
        ([IMAGE, IMAGE], [ANNOTATION], "two images share an id"),
        (
            [IMAGE, IMAGE | {"id": 2, "file_name": "a.png"}],
            [ANNOTATION, ANNOTATION | {"image_id": 2}],
            "images 1 and 2 are named 'a.jpg' and 'a.png'",
        ),
        ([IMAGE | {"file_name": " a\n.jpg"}], [ANNOTATION], "image 1 is named"),
        ([IMAGE | {"file_name": ""}], [ANNOTATION], "image 1 is named"),
        ([{"id": 1, "file_name": "a.jpg"}], [ANNOTATION], "not a COCO instances file .*'height'"),
        ([IMAGE], [{"id": 4}], "not a COCO instances file .*image_id"),
        ([IMAGE], ["x"], "not a COCO instances file"),
        ([3], [ANNOTATION], "not a COCO instances file"),
    ],
)
def test_files_that_do_not_fit(tmp_path: Path, images: Any, annotations: Any, message: str) -> None:
    path = coco_folder.write(tmp_path, "train2014", images, annotations)
    with pytest.raises(SBNetError, match=rf"instances_train2014\.json: .*{message}"):
        read_instances(path)


@pytest.mark.parametrize("text", ["[]", "{", '{"categories": 1}', '{"images": []}', "[" * 100_000, "\xff"])
def test_files_that_are_not_coco_s(tmp_path: Path, text: str) -> None:
    path = tmp_path / "captions.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(SBNetError, match=r"captions\.json: not a COCO instances file"):
        read_instances(path)
    with pytest.raises(SBNetError, match="not a COCO instances file"):
        read_instances(tmp_path / "nowhere.json")


@pytest.mark.parametrize(
    ("categories", "message"),
    [
        ([(1, "cat"), (2, "cat")], "two categories are named 'cat'"),
        ([(1, "background")], "category 1 is named 'background'"),
        ([(1, "a;b")], "category 1 is named 'a;b'"),
        ([(number, f"c{number}") for number in range(300)], "300 categories, but at most 254 fit"),
    ],
)
def test_categories_that_do_not_fit(tmp_path: Path, categories: Any, message: str) -> None:
    named = [{"id": number, "name": name} for number, name in categories]
    path = coco_folder.write(tmp_path, "x", [IMAGE], [ANNOTATION], categories=named)
    with pytest.raises(SBNetError, match=message):
        read_instances(path)


def test_photos_that_are_not_there(made: tuple[Path, dict[str, np.ndarray]], tmp_path: Path) -> None:
    found = read_instances(made[0] / "annotations/instances_val2014.json")
    message = (
        r"4 of 4 images of instances_val2014\.json are not there \('COCO_.*1000\.jpg', image 1000, is the"
    )
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(SBNetError, match=message):
            labelled_photos(found, folder)


def test_polygons_take_8_bytes_a_number(tmp_path: Path) -> None:
    """An instances file of COCO's holds tens of millions of them."""
    path = coco_folder.write(tmp_path, "train2014", [IMAGE], [ANNOTATION])
    shape = read_instances(path).pictures[0].instances[0].shape
    assert shape[0].itemsize * len(shape[0]) == 8 * len(SQUARE)
    assert json.loads(path.read_text())["annotations"][0]["segmentation"][0] == list(shape[0])
