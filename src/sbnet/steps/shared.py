"""The steps that every chain shares, as specs: CRF and prediction."""

from __future__ import annotations

from sbnet.steps.settings import CrfSettings, PredictSettings
from sbnet.steps.spec import MASKS, MODEL, PSEUDO_MASKS, SCORES, SEEDS, Images, Measure, Picture, StepSpec

ALPHAS = {PSEUDO_MASKS: ("mask_alpha",), SEEDS: ("low_alpha", "high_alpha")}


def crf_step(settings: CrfSettings, *, prefix: str = "", title: str = "", key: str = "") -> StepSpec:
    """The dense CRF over the nearest score maps. prefix: of its name and its measure's, for sub-steps of a method."""
    label = f"{title} " if title else ""
    measure = Measure(f"{prefix}crf", f"{label}CAM + CRF", PSEUDO_MASKS)
    pictures = (
        Picture("CRF labels", "seeds; striped: unknown", "seeds/{}.png", "seeds"),
        Picture("CAM + CRF", "a class for every pixel", "masks/{}.png", "mask"),
    )
    return StepSpec(
        name=f"{prefix}crf",
        title=f"{label}CRF labels",
        does=f"dense CRF over the {label.lower()}CAMs: seeds and masks",
        run="sbnet.steps.crf:run",
        settings=settings,
        reads={"scores": SCORES},
        writes=(SEEDS, PSEUDO_MASKS),
        network=False,
        only=ALPHAS,
        measures=(measure,),
        pictures=() if prefix else pictures,
        variants="sbnet.steps.crf:variants",
        key=key,
    )


def predict_step(settings: PredictSettings, *, images: Images) -> StepSpec:
    """Masks of the val images, and of the report's training images."""
    measures = [Measure("segmenter", "Segmenter", MASKS)]
    pictures = [
        Picture("Segmenter", "on an image that it was trained on", "train_masks/{}.png", "mask"),
        Picture("Segmenter", "", "masks/{}.png", "mask", images="val"),
    ]
    if settings.crf:
        measures.append(Measure("segmenter_crf", "Segmenter + CRF", MASKS, folder="masks_crf"))
        pictures.append(Picture("Segmenter + CRF", "", "masks_crf/{}.png", "mask", images="val"))
    return StepSpec(
        name="predict",
        title="Predict",
        does=f"masks of the {'val' if images == 'val' else 'report'} images",
        run="sbnet.steps.predict:run",
        settings=settings,
        reads={"network": MODEL},
        writes=(MASKS,),
        images=images,
        views=(settings.scales, settings.mirror),
        measures=tuple(measures) if images == "val" else (),
        pictures=tuple(pictures),
        verb="predict-val",
        key="predict",
    )
