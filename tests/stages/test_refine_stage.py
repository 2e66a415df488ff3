"""The CRF step: what a sweep tries is what the stage would make."""

import dataclasses
from pathlib import Path

import numpy as np

from sbnet.data.files import read_label, write_scores
from sbnet.data.voc import read_voc
from sbnet.engine.runtime import Runtime
from sbnet.stages.refine import Settings, run, variants
from sbnet.stages.workspace import ModelSettings, Workspace


def test_variants_are_the_stage_s_masks(shared_data: Path, tmp_path: Path) -> None:
    everything = read_voc(shared_data, "train")
    photos = dataclasses.replace(everything, photos=everything.photos[:3])
    random = np.random.default_rng(0)
    for photo in photos:
        scores = random.random((len(photo.classes), 48, 64))
        write_scores(tmp_path / "cam/scores" / f"{photo.name}.npz", scores, np.array(photo.classes))
    workspace = Workspace(
        tmp_path / "crf", {"scores": tmp_path / "cam"}, photos, None, ModelSettings(), Runtime(workers=1)
    )
    tried = [
        Settings(mask_alpha=2),
        Settings(mask_alpha=1, score_power=2),
        Settings(mask_alpha=2, bilateral=(40.0, 5.0, 3.0)),
        Settings(mask_alpha=2, iterations=0),
    ]
    masks = variants(tried, workspace)
    found = {photo.name: masks(photo) for photo in photos}
    assert len({each.tobytes() for each in found[photos.photos[0].name]}) == len(tried)
    for number, one in enumerate(tried):
        place = dataclasses.replace(workspace, folder=tmp_path / f"variant{number}")
        run(one, place)
        for name, each in found.items():
            made = read_label(place.folder / "masks" / f"{name}.png")
            assert (
                each[number] == made
            ).mean() > 0.999  # a label may be negligible in one set and not in another
