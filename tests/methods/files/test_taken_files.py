"""Class score maps and pseudo masks made elsewhere: checked against the images, then copied."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sbnet.compat.cams import write_cam
from sbnet.config.recipe import load_recipe
from sbnet.data.datasets.collection import Collection
from sbnet.data.io.files import read_label, read_scores, write_label, write_scores
from sbnet.errors import SBNetError
from sbnet.methods.files import FolderSettings
from sbnet.methods.files.take import take_masks, take_scores
from sbnet.pipeline.graph import recipe_steps
from step_context import first_images, make_context


@pytest.fixture
def images(shared_data: Path) -> Collection:
    return first_images(shared_data, 3)


def test_our_score_maps_and_those_of_published_code(images: Collection, tmp_path: Path) -> None:
    folder, context = tmp_path / "cams", make_context(tmp_path / "out", images)
    settings, expected = FolderSettings(folder=str(folder)), {}
    random = np.random.default_rng(0)
    for number, image in enumerate(images):
        scores = random.random((len(image.classes) + 1, 48, 64), np.float32)
        classes = np.array([*reversed(image.classes), next(c for c in range(1, 8) if c not in image.classes)])
        expected[image.name] = scores[: len(image.classes)][::-1]
        if number:
            write_scores(folder / f"{image.name}.npz", scores, classes)
        else:
            folder.mkdir()
            write_cam(folder / f"{image.name}.npy", scores, classes)
    assert take_scores(settings, context) == {"images": 3}
    for image in images:
        found = read_scores(context.folder / "scores" / f"{image.name}.npz")
        assert tuple(found.classes) == image.classes
        np.testing.assert_allclose(found.scores, expected[image.name], atol=1e-3)
    last = images.photos[2]
    (folder / f"{last.name}.npz").unlink()
    with pytest.raises(SBNetError, match=rf"no CAMs of image '{last.name}'; add {last.name}\.npz"):
        take_scores(settings, context)


def test_masks_with_unknown_pixels(images: Collection, tmp_path: Path) -> None:
    folder, context = tmp_path / "masks", make_context(tmp_path / "out", images)
    settings, random = FolderSettings(folder=str(folder)), np.random.default_rng(0)
    made = {image.name: random.integers(0, 8, (48, 64), np.uint8) for image in images}
    made[images.photos[1].name][3:9] = 255
    for name, mask in made.items():
        write_label(folder / f"{name}.png", mask)
    assert take_masks(settings, context) == {"images": 3, "masks with unknown pixels": 1}
    for name, mask in made.items():
        np.testing.assert_array_equal(read_label(context.folder / "masks" / f"{name}.png"), mask)
    name = images.photos[0].name
    write_label(folder / f"{name}.png", np.full((48, 64), 9, np.uint8))
    with pytest.raises(SBNetError, match=rf"{name}\.png.*9"):
        take_masks(settings, context)
    (folder / f"{name}.png").unlink()
    with pytest.raises(SBNetError, match=rf"1 of 3 labels are missing, first {name}\.png"):
        take_masks(settings, context)


@pytest.mark.parametrize("section", ["seeds.method=cam_files", "refine.method=mask_files"])
def test_the_folder_is_required(section: str) -> None:
    role = section.partition(".")[0]
    with pytest.raises(SBNetError, match=rf"{role}\.folder is required"):
        load_recipe("quickstart", [section])
    with pytest.raises(SBNetError, match=rf"{role}\.folder is ''"):
        load_recipe("quickstart", [section, f"{role}.folder="])


def test_the_steps_that_are_left() -> None:
    masks = recipe_steps(load_recipe("quickstart", ["refine.method=mask_files", "refine.folder=x"]))
    assert [step.name for step in masks] == ["propagate", "train_segmenter", "predict"]
    words = ["seeds.method=cam_files", "seeds.folder=x", "refine.train.start=imagenet"]
    cams = [step.name for step in recipe_steps(load_recipe("quickstart", words))]
    assert cams[:3] == ["infer_cam", "crf", "train_affinity"]
    with pytest.raises(SBNetError, match="train_affinity"):  # no network to start from
        recipe_steps(load_recipe("quickstart", [*words, "refine.train.start=seeds"]))
