from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from sbnet.data import IGNORE
from sbnet.report import pictures

DARK = np.zeros((40, 40, 3), np.uint8)


def test_thumbnail_size() -> None:
    assert pictures.thumbnail_size(300, 600, side=360) == (180, 360)
    assert pictures.thumbnail_size(10, 20, side=360) == (10, 20)
    assert pictures.thumbnail_size(1, 5000, side=360) == (1, 360)


def test_shrinking_keeps_ids_and_channels() -> None:
    label = np.array([[0, 0, 7, 7], [0, 0, 255, 255]], np.uint8)
    assert set(np.unique(pictures.shrink_label(label, size=(1, 2)))) <= {0, 7, 255}
    assert pictures.shrink_photo(np.zeros((8, 6, 3), np.uint8), size=(4, 3)).shape == (4, 3, 3)
    assert pictures.shrink_scores(np.ones((2, 4, 4), np.float32), size=(3, 5)).shape == (2, 3, 5)
    assert pictures.shrink_scores(np.ones((0, 4, 4), np.float32), size=(3, 5)).shape == (0, 3, 5)


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_every_class_is_seen_on_any_image(shade: int) -> None:
    photo = np.full((12, 12, 3), shade, np.uint8)
    ground = pictures.label_overlay(photo, np.zeros((12, 12), np.uint8))
    assert np.ptp(ground.astype(int), axis=2).max() == 0  # grey
    for class_id in range(1, 255):
        label = np.zeros((12, 12), np.uint8)
        label[3:9, 3:9] = class_id
        seen = pictures.label_overlay(photo, label)
        assert (seen[3, 3:9] == 255).all()  # outlined
        assert np.ptp(seen[6, 6].astype(int)) > 50  # colored
        assert (seen[0] == ground[0]).all()


def test_colors_differ() -> None:
    assert len(np.unique(pictures.COLORS, axis=0)) == 256
    few = pictures.COLORS[:22].astype(int)
    apart = np.abs(few[:, None] - few[None]).max(axis=2) + 255 * np.eye(22, dtype=int)
    assert apart.min() > 25


def test_unknown_pixels_are_striped() -> None:
    label = np.full((16, 16), IGNORE, np.uint8)
    striped = pictures.label_overlay(np.full((16, 16, 3), 60, np.uint8), label)
    assert len(np.unique(striped)) == 2


def test_heat_is_grey_where_low_and_the_class_color_where_high() -> None:
    photo = np.full((1, 2, 3), (200, 100, 0), np.uint8)
    heat = pictures.heat_overlay(photo, np.array([[[0.0, 1.0]]], np.float32), np.array([1]))
    assert len(set(heat[0, 0])) == 1
    assert heat[0, 1].argmax() == pictures.COLORS[1].argmax()
    assert np.ptp(heat[0, 1].astype(int)) > 100
    assert (photo == (200, 100, 0)).all()


def test_heat_of_no_class_and_of_broken_scores() -> None:
    photo = np.full((2, 2, 3), 90, np.uint8)
    assert pictures.heat_overlay(photo, np.zeros((0, 2, 2), np.float32), np.zeros(0, int)).shape == (2, 2, 3)
    assert pictures.heat_overlay(photo, np.full((1, 2, 2), np.nan, np.float32), np.array([1])).max() < 255


def test_contour() -> None:
    inside = np.zeros((5, 5), bool)
    inside[1:4, 1:4] = True
    rim = pictures.contour(np.zeros((5, 5, 3), np.uint8), inside)[..., 0] == 255
    assert rim.any()
    assert not rim[2, 2]
    assert not rim[0, 0]
    with pytest.raises(ValueError, match="region"):
        pictures.contour(np.zeros((5, 4, 3), np.uint8), inside)


@pytest.mark.parametrize("maker", ["change", "window"])
def test_boundary_lines_lie_on_changes_between_known_labels(maker: str) -> None:
    label = np.zeros((20, 40), np.uint8)
    label[:, 20:] = 3
    picture = pictures.boundary_picture(DARK[:20, :40], label, maker=maker, width=1)
    line = (picture == pictures.COLORS[3]).all(axis=2)
    assert line[:, 19:21].all()
    assert not line[:, :12].any()
    assert not line[:, 28:].any()
    assert not (
        pictures.boundary_picture(DARK[:4, :4], np.full((4, 4), IGNORE, np.uint8), maker=maker, width=1)
        == 255
    ).any()


def test_no_boundary_towards_ignored_pixels() -> None:
    label = np.full((6, 6), IGNORE, np.uint8)
    label[:, :2] = 1
    assert (
        not (pictures.boundary_picture(DARK[:6, :6], label, maker="change", width=1) == pictures.COLORS[1])
        .all(axis=2)
        .any()
    )


def test_data_uri() -> None:
    uri = pictures.data_uri(np.full((3, 4, 3), 80, np.uint8))
    head, _, body = uri.partition(",")
    assert head == "data:image/jpeg;base64"
    assert np.asarray(Image.open(io.BytesIO(base64.b64decode(body)))).shape == (3, 4, 3)
