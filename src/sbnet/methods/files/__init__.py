"""Class score maps and pseudo masks made elsewhere, instead of a method's."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sbnet.methods.base import Method, register
from sbnet.settings import Outside, Settings
from sbnet.steps.spec import PSEUDO_MASKS, SCORES, Measure, Picture, StepSpec


class FolderSettings(Settings):
    folder: Annotated[str, Outside("folder"), Field(min_length=1)]
    """Class score maps NAME.npz, or NAME.npy as SEAM, SBNet, PSA and IRN write them; pseudo masks: NAME.png with class
    ids, 255 where unknown."""


@register
class CamFiles(Method):
    name = "cam_files"
    title = "CAMs from files"
    role = "seeds"
    about = "class score maps made elsewhere, ours or those of published code"
    Settings = FolderSettings

    def steps(self, settings: FolderSettings) -> list[StepSpec]:
        return [
            StepSpec(
                name="infer_cam",
                title="CAMs",
                does=f"use the CAMs in {settings.folder}",
                run="sbnet.methods.files.take:take_scores",
                settings=settings,
                writes=(SCORES,),
                network=False,
                measures=(Measure("cam", "CAM", SCORES),),
                pictures=(
                    Picture(
                        "CAM", "color by class, strength by score", "scores/{}.npz", "heat", threshold="cam"
                    ),
                ),
            )
        ]


@register
class MaskFiles(Method):
    name = "mask_files"
    title = "pseudo masks from files"
    role = "refine"
    about = "pseudo masks made elsewhere"
    Settings = FolderSettings

    def steps(self, settings: FolderSettings) -> list[StepSpec]:
        return [
            StepSpec(
                name="propagate",
                title="Pseudo masks",
                does=f"use the pseudo masks in {settings.folder}",
                run="sbnet.methods.files.take:take_masks",
                settings=settings,
                writes=(PSEUDO_MASKS,),
                network=False,
                measures=(Measure("propagation", "Pseudo masks", PSEUDO_MASKS),),
                pictures=(Picture("Pseudo masks", "made elsewhere", "masks/{}.png", "mask"),),
            )
        ]
