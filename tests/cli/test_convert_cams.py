"""Folders of CAMs from one form to the other, and the CRF marginals and seeds that published code exchanges."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sbnet.cli.convert_cams import (
    cams_to_scores,
    marginals_to_seeds,
    scores_to_cams,
    scores_to_marginals,
)
from sbnet.compat.cams import read_cam, read_marginals
from sbnet.data.datasets.collection import Collection
from sbnet.data.io.files import read_label, read_scores, write_scores
from sbnet.errors import SBNetError
from sbnet.ops import DenseCRF, with_background_score
from sbnet.steps import crf
from sbnet.steps.settings import CrfSettings
from step_context import first_images, make_context


@pytest.fixture
def images(shared_data: Path) -> Collection:
    return first_images(shared_data, 2)


@pytest.fixture
def scores(images: Collection, tmp_path: Path) -> Path:
    folder, random = tmp_path / "scores", np.random.default_rng(0)
    for image in images:
        maps = random.random((len(image.classes), 48, 64), np.float32) ** 3
        write_scores(folder / f"{image.name}.npz", maps, np.array(image.classes))
    return folder


def test_there_and_back(images: Collection, scores: Path, tmp_path: Path) -> None:
    assert scores_to_cams(scores, tmp_path / "cams") == 2
    assert cams_to_scores(tmp_path / "cams", tmp_path / "again") == 2
    for image in images:
        first, cam, again = (
            read_scores(scores / f"{image.name}.npz"),
            read_cam(tmp_path / "cams" / f"{image.name}.npy"),
            read_scores(tmp_path / "again" / f"{image.name}.npz"),
        )
        assert first.classes.tolist() == cam.classes.tolist() == again.classes.tolist()
        np.testing.assert_array_equal(first.scores, again.scores)


def test_marginals_and_seeds_are_those_of_the_crf_step(
    images: Collection, scores: Path, tmp_path: Path
) -> None:
    paths = [image.path for image in images]
    assert scores_to_marginals(scores, tmp_path / "crf", images=paths, alphas=(4, 24)) == 2
    for image in images:
        maps = read_scores(scores / f"{image.name}.npz")
        found = read_marginals(tmp_path / "crf_4.0" / f"{image.name}.npy")
        assert found.classes.tolist() == maps.classes.tolist()
        given = with_background_score(torch.from_numpy(maps.scores), alpha=4).numpy()
        expected = DenseCRF(image.pixels()).marginals(given)
        np.testing.assert_allclose(found.marginals, expected, atol=1e-4)
    assert marginals_to_seeds(tmp_path / "crf_4.0", tmp_path / "crf_24.0", tmp_path / "seeds") == 2
    crf.run(CrfSettings(), make_context(tmp_path / "out", images, {"scores": scores}))
    for image in images:
        made, own = (
            read_label(folder / f"{image.name}.png")
            for folder in (tmp_path / "seeds", tmp_path / "out/seeds")
        )
        assert (made == own).mean() > 0.999
        assert set(np.unique(made)) <= {0, 255, *image.classes}


def test_what_cannot_be_converted(images: Collection, scores: Path, tmp_path: Path) -> None:
    with pytest.raises(SBNetError, match="no such folder"):
        cams_to_scores(tmp_path / "none", tmp_path / "out")
    with pytest.raises(SBNetError, match=r"contains no NAME\.npy; check the folder and --to"):
        cams_to_scores(scores, tmp_path / "out")
    paths = [image.path for image in images]
    with pytest.raises(SBNetError, match=r"crf_4\.0: the folder of both 4 and 4\.01.*--out"):
        scores_to_marginals(scores, tmp_path / "crf", images=paths, alphas=(4, 4.01))
    with pytest.raises(SBNetError, match=rf"its image '{images.photos[1].name}' is not among .*--images"):
        scores_to_marginals(scores, tmp_path / "crf", images=paths[:1], alphas=(4,))
    first, second = (image.name for image in images)
    for folder in ("low", "high"):
        (tmp_path / folder).mkdir()
    scores_to_marginals(scores, tmp_path / "m", images=paths, alphas=(4,))
    source = tmp_path / "m_4.0"
    (tmp_path / "low" / f"{first}.npy").write_bytes((source / f"{first}.npy").read_bytes())
    (tmp_path / "high" / f"{first}.npy").write_bytes((source / f"{second}.npy").read_bytes())
    if images.photos[0].classes != images.photos[1].classes:
        with pytest.raises(SBNetError, match="different classes or sizes; make both from the same CAMs"):
            marginals_to_seeds(tmp_path / "low", tmp_path / "high", tmp_path / "out")
