"""Make docs/chain.png: images with their labels through a finished run, a row each.

    python docs/make_chain_picture.py runs/voc a.jpg=cat b.jpg=person,dog [--out docs/chain.png]

The run's networks are applied to images that they were not trained on. Columns: the image and its label; the class
score map; the CRF mask made from it; the mask of the segmenter with CRF, which gets the image alone.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import sbnet
from sbnet.config.recipe import Recipe, load_recipe
from sbnet.data.datasets.collection import Collection, Photo
from sbnet.data.io.files import read_label, read_scores
from sbnet.errors import SBNetError
from sbnet.pipeline.graph import Step, recipe_steps
from sbnet.report.pictures import Picture, heat_overlay, label_overlay
from sbnet.steps.context import Context
from sbnet.steps.spec import MODEL, PSEUDO_MASKS, SCORES

SIDE = 384  # pixels of an image's longer side: what voc12-lite is trained on
CELL, GAP, TITLE = 300, 10, 40  # pixels: a cell's height, between cells, height of the titles
TITLES = ("image + label", "class activation map", "pseudo mask", "segmenter, no label given")
FONT = ImageFont.load_default(size=22)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("images", nargs="+", help="FILE=CLASS or FILE=CLASS,CLASS")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "chain.png")
    arguments = parser.parse_args()
    given = [
        (Path(file), names.split(","))
        for file, _, names in (text.rpartition("=") for text in arguments.images)
    ]
    with tempfile.TemporaryDirectory() as work:
        rows = chain(arguments.run, given, Path(work))
    sheet(rows).save(arguments.out, optimize=True)
    print(f"{arguments.out}: {', '.join(path.name for path, _ in given)}")


def chain(run: Path, given: Sequence[tuple[Path, list[str]]], work: Path) -> list[list[Picture]]:
    """A row of pictures for each image: itself with its label, map, CRF mask, segmenter."""
    segmenter = sbnet.load(run)
    images = collect(given, tuple(segmenter.classes), work / "images")
    folders = apply(load_recipe(run), run, images, work)
    rows = []
    for photo in images.photos:
        pixels = photo.pixels()
        scores, class_ids = read_scores(folders[SCORES.name] / f"{photo.name}.npz")
        masks = (
            read_label(folders[PSEUDO_MASKS.name] / f"{photo.name}.png"),
            segmenter.mask(pixels, crf=True),
        )
        label = ", ".join(images.classes[index] for index in photo.classes)
        heat = heat_overlay(pixels, scores, class_ids)
        rows.append([labelled(pixels, label), heat, *(label_overlay(pixels, mask) for mask in masks)])
    return rows


def collect(given: Sequence[tuple[Path, list[str]]], classes: tuple[str, ...], folder: Path) -> Collection:
    """The images at the size of the run's, as a list of training images."""
    folder.mkdir()
    photos = []
    for path, names in given:
        unknown = [name for name in names if name not in classes]
        if unknown:
            raise SBNetError(f"{path}: the run has no class '{unknown[0]}'; it has {', '.join(classes[1:])}")
        image = Image.open(path).convert("RGB")
        image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        target = folder / f"{path.stem}.png"
        image.save(target)
        photos.append(Photo(path.stem, target, classes=tuple(sorted(map(classes.index, names)))))
    return Collection(classes, tuple(photos), "images")


def apply(recipe: Recipe, run: Path, images: Collection, work: Path) -> dict[str, Path]:
    """Where the maps and the CRF masks of the images are, by kind: the run's own steps make them, from its networks."""
    steps = recipe_steps(recipe)
    wanted = [next(step for step in reversed(steps) if SCORES in step.spec.writes)]
    wanted += [
        next(step for step in steps if wanted[0].name in step.needs() and PSEUDO_MASKS in step.spec.writes)
    ]
    recipe = replace(recipe, runtime=recipe.runtime.model_copy(update={"workers": 0}))
    for step in wanted:
        context = Context(
            folder=work / step.name,
            inputs={name: place(step, name, run, work) for name in step.inputs},
            train=images,
            val=None,
            backbone=recipe.backbone,
            runtime=recipe.runtime,
        )
        context.folder.mkdir()
        step.spec.load()(step.spec.settings, context)
    return {
        kind.name: work / step.name / kind.place
        for step, kind in zip(wanted, (SCORES, PSEUDO_MASKS), strict=True)
    }


def place(step: Step, name: str, run: Path, work: Path) -> Path:
    """Where a step's input is: networks in the run, everything else in what was made here."""
    provider, kind = step.inputs[name]
    return (run if kind is MODEL else work) / provider / kind.place


def labelled(pixels: Picture, label: str) -> Picture:
    """The image with its label in a corner."""
    image = Image.fromarray(pixels)
    draw = ImageDraw.Draw(image, "RGBA")
    box = draw.textbbox((10, 8), label, font=FONT)
    draw.rounded_rectangle((box[0] - 8, box[1] - 6, box[2] + 8, box[3] + 6), 6, fill=(0, 0, 0, 170))
    draw.text((10, 8), label, fill="white", font=FONT)
    return np.asarray(image)


def sheet(rows: Sequence[Sequence[Picture]]) -> Image.Image:
    """The rows below each other, all cells of one height, each column as wide as its widest."""
    cells = [[resized(picture) for picture in row] for row in rows]
    widths = [max(row[column].width for row in cells) for column in range(len(TITLES))]
    size = (sum(widths) + GAP * (len(widths) - 1), TITLE + len(cells) * (CELL + GAP) - GAP)
    canvas = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(canvas)
    for column, title in enumerate(TITLES):
        left = sum(widths[:column]) + GAP * column
        draw.text((left + widths[column] // 2, TITLE // 2), title, fill="black", font=FONT, anchor="mm")
        for number, row in enumerate(cells):
            indent = (widths[column] - row[column].width) // 2
            canvas.paste(row[column], (left + indent, TITLE + number * (CELL + GAP)))
    return canvas


def resized(picture: Picture) -> Image.Image:
    height, width = picture.shape[:2]
    return Image.fromarray(np.ascontiguousarray(picture)).resize(
        (round(width * CELL / height), CELL), Image.Resampling.LANCZOS
    )


if __name__ == "__main__":
    main()
