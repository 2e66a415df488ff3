"""Dense CRF over the CAMs: confident labels for AffinityNet and boundaries, and a mask to measure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sbnet.data.collection import Photo
from sbnet.data.files import read_scores, write_label
from sbnet.data.image import read_photo
from sbnet.engine.parallel import map_unordered
from sbnet.engine.progress import photo_progress
from sbnet.ops import DenseCRF, confident_labels, with_background_score
from sbnet.stages.workspace import Workspace

READS = ("scores",)
WRITES = ("labels", "masks")


@dataclass(frozen=True)
class Settings:
    """low_alpha, high_alpha: background = (1 - max CAM)^alpha; a low alpha overstates the background, so what is
    foreground under it is confident; a high one understates it (PSA, section 3.3).
    score_power: exponent of the scores before their background is made; more than 1 sharpens wide CAMs.
    mask_alpha: the alpha of the CRF mask that is measured and may serve as pseudo mask.
    gaussian: (sxy, weight); bilateral: (sxy, srgb, weight).
    """

    low_alpha: float = 4.0
    high_alpha: float = 24.0
    mask_alpha: float = 8.0
    score_power: float = 1.0
    iterations: int = 10
    gaussian: tuple[float, float] = (3.0, 3.0)
    bilateral: tuple[float, float, float] = (80.0, 13.0, 10.0)


def run(settings: Settings, workspace: Workspace) -> dict[str, Any]:
    """Write the confident label and the CRF mask of every training photo that has none yet."""
    labels, masks = workspace.folder / "labels", workspace.folder / "masks"
    alphas = (settings.low_alpha, settings.high_alpha, settings.mask_alpha)

    def refine(photo: Photo) -> None:
        stored = read_scores(workspace.inputs["scores"] / "scores" / f"{photo.name}.npz")
        scores, classes = torch.from_numpy(stored.scores), stored.classes
        sets = torch.stack(
            [with_background_score(scores, alpha=alpha, power=settings.score_power) for alpha in alphas]
        )
        crf = DenseCRF(read_photo(photo.path), gaussian=settings.gaussian, bilateral=settings.bilateral)
        low, high, middle = crf.marginals(sets.numpy(), iterations=settings.iterations)
        write_label(
            masks / f"{photo.name}.png", np.concatenate([[0], classes]).astype(np.uint8)[middle.argmax(0)]
        )
        write_label(labels / f"{photo.name}.png", confident_labels(low, high, classes))

    todo = [photo for photo in workspace.train.photos if not (labels / f"{photo.name}.png").exists()]
    done = map_unordered(refine, todo, workers=workspace.runtime.worker_count)
    for _ in photo_progress("refine with the CRF", done, len(todo)):
        pass
    return {"photos": len(workspace.train.photos)}
