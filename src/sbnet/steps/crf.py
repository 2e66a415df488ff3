"""Dense CRF over class score maps: seeds to learn from, and a mask to measure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from sbnet.data.datasets.collection import Photo
from sbnet.data.io.files import read_scores, write_label
from sbnet.engine.crf import Marginals, PhotoCRF
from sbnet.engine.resources import one_torch_thread
from sbnet.ops import confident_labels, strongest_labels, with_background_score
from sbnet.steps.context import Context
from sbnet.steps.settings import CrfSettings, alike, dense_crf
from sbnet.work.parallel import map_unordered
from sbnet.work.progress import work_through


def run(settings: CrfSettings, context: Context) -> dict[str, Any]:
    """Write the seeds and the CRF mask of every training image that has none yet.

    Images are worked on side by side as far as cores and memory go; SBNetError for one that alone needs more memory.
    """
    crf = PhotoCRF(context.runtime)
    seeds, masks = context.folder / "seeds", context.folder / "masks"
    alphas = (settings.low_alpha, settings.high_alpha, settings.mask_alpha)
    backgrounds = [(alpha, settings.score_power) for alpha in alphas]

    def refine(image: Photo) -> None:
        with crf.room(image.path, image.size(), labels=len(image.classes) + 1, sets=3) as marginals:
            stored = read_scores(context.inputs["scores"] / f"{image.name}.npz")
            low, high, middle = refined(marginals, image.pixels(), stored.scores, backgrounds, settings)
            write_label(masks / f"{image.name}.png", strongest_labels(middle, stored.classes))
            write_label(seeds / f"{image.name}.png", confident_labels(low, high, stored.classes))

    todo = [image for image in context.train if not (seeds / f"{image.name}.png").exists()]
    with one_torch_thread():
        done = map_unordered(refine, todo, workers=context.runtime.worker_count)
        work_through("dense CRF", done, len(todo))
    return {"images": len(context.train)}


def variants(settings: Sequence[CrfSettings], context: Context) -> Callable[[Photo], list[np.ndarray]]:
    """For a sweep: image -> its mask (H, W) under each of the settings. One lattice serves all backgrounds."""
    groups = alike(settings, low_alpha=0.0, high_alpha=0.0, mask_alpha=0.0, score_power=0.0)
    crf, most = PhotoCRF(context.runtime), max(map(len, groups.values()))

    def masks(image: Photo) -> list[np.ndarray]:
        found: dict[int, np.ndarray] = {}
        with crf.room(image.path, image.size(), labels=len(image.classes) + 1, sets=most) as marginals:
            stored = read_scores(context.inputs["scores"] / f"{image.name}.npz")
            pixels = image.pixels()
            for shared, members in groups.items():
                backgrounds = [(settings[index].mask_alpha, settings[index].score_power) for index in members]
                sets = refined(marginals, pixels, stored.scores, backgrounds, shared)
                for index, one in zip(members, sets, strict=True):
                    found[index] = strongest_labels(one, stored.classes)
        return [found[index] for index in range(len(settings))]

    return masks


def refined(
    marginals: Marginals,
    pixels: np.ndarray,
    scores: np.ndarray,
    backgrounds: Sequence[tuple[float, float]],
    settings: CrfSettings,
) -> np.ndarray:
    """scores (K, H, W) -> (A, K + 1, H, W), background first, for A pairs of its alpha and the scores' power."""
    foreground = torch.from_numpy(scores)
    sets = torch.stack(
        [with_background_score(foreground, alpha=alpha, power=power) for alpha, power in backgrounds]
    )
    return marginals(pixels, sets.numpy(), **dense_crf(settings))
