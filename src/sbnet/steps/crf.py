"""Dense CRF over the CAMs: confident labels for AffinityNet and boundaries, and a mask to measure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from sbnet.data.datasets.collection import Photo
from sbnet.data.io.files import Scores, read_scores, write_label
from sbnet.data.io.image import photo_size
from sbnet.engine.speed import one_torch_thread
from sbnet.work.parallel import map_unordered
from sbnet.engine.crf import Marginals, PhotoCRF
from sbnet.work.progress import work_through
from sbnet.ops import confident_labels, strongest_labels, with_background_score
from sbnet.steps.variants import alike
from sbnet.steps.workspace import Workspace

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
    """Write the confident label and the CRF mask of every training photo that has none yet.

    Photos are worked on side by side as far as cores and memory go; SBNetError for one that alone needs more memory.
    """
    crf = PhotoCRF(workspace.runtime)
    labels, masks = workspace.folder / "labels", workspace.folder / "masks"
    backgrounds = [
        (alpha, settings.score_power)
        for alpha in (settings.low_alpha, settings.high_alpha, settings.mask_alpha)
    ]

    def refine(photo: Photo) -> None:
        size, count = photo_size(photo.path), len(photo.classes) + 1
        with crf.room(photo.path, size, labels=count, sets=3) as marginals:
            stored = _stored(photo, workspace)
            pixels = photo.pixels()
            low, high, middle = refined(marginals, pixels, stored.scores, backgrounds, settings)
            write_label(masks / f"{photo.name}.png", strongest_labels(middle, stored.classes))
            write_label(labels / f"{photo.name}.png", confident_labels(low, high, stored.classes))

    todo = [photo for photo in workspace.train.photos if not (labels / f"{photo.name}.png").exists()]
    with one_torch_thread():
        done = map_unordered(refine, todo, workers=workspace.runtime.worker_count)
        work_through("refine with the CRF", done, len(todo))
    return {"photos": len(workspace.train.photos)}


def variants(settings: Sequence[Settings], workspace: Workspace) -> Callable[[Photo], list[np.ndarray]]:
    """For a sweep: photo -> its mask (H, W) under each of the settings. One lattice serves all backgrounds."""
    groups = alike(settings, low_alpha=0, high_alpha=0, mask_alpha=0, score_power=0)
    crf, most = PhotoCRF(workspace.runtime), max(map(len, groups.values()))

    def masks(photo: Photo) -> list[np.ndarray]:
        found: dict[int, np.ndarray] = {}
        size, count = photo_size(photo.path), len(photo.classes) + 1
        with crf.room(photo.path, size, labels=count, sets=most) as marginals:
            stored, pixels = _stored(photo, workspace), photo.pixels()
            for shared, members in groups.items():
                backgrounds = [(settings[index].mask_alpha, settings[index].score_power) for index in members]
                sets = refined(marginals, pixels, stored.scores, backgrounds, shared)
                found |= {
                    index: strongest_labels(one, stored.classes)
                    for index, one in zip(members, sets, strict=True)
                }
        return [found[index] for index in range(len(settings))]

    return masks


def _stored(photo: Photo, workspace: Workspace) -> Scores:
    return read_scores(workspace.inputs["scores"] / "scores" / f"{photo.name}.npz")


def refined(
    marginals: Marginals,
    pixels: np.ndarray,
    scores: np.ndarray,
    backgrounds: Sequence[tuple[float, float]],
    settings: Settings,
) -> np.ndarray:
    """scores (K, H, W) -> (A, K + 1, H, W), background first, for A pairs of its alpha and the scores' power."""
    foreground = torch.from_numpy(scores)
    sets = torch.stack(
        [with_background_score(foreground, alpha=alpha, power=power) for alpha, power in backgrounds]
    )
    return marginals(
        pixels,
        sets.numpy(),
        iterations=settings.iterations,
        gaussian=settings.gaussian,
        bilateral=settings.bilateral,
    )
