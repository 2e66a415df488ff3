"""Make docs/chain.png: one training photo through the chain of a finished run.

    .venv/bin/python docs/make_chain_picture.py runs/quickstart [--photo NAME] [--out docs/chain.png]

The segmenter's mask is of the same training photo, so that the whole row is one photo.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import sbnet
from sbnet.data.datasets.collection import Collection, Photo
from sbnet.data.io.files import LABEL_FOLDERS, read_label, read_scores
from sbnet.data.io.image import read_mask, read_photo
from sbnet.data.datasets.voc.folder import read_voc
from sbnet.config.recipe import Recipe, load_recipe
from sbnet.report import pictures
from sbnet.report.pictures import Picture
from sbnet.report.rows import shown_photos

CELL, GAP, CAPTION = 240, 8, 34  # pixels: a picture's longer side, between pictures, height of the caption


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument(
        "--photo", help="name of a training photo; by default the first that the report shows"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "chain.png")
    arguments = parser.parse_args()
    recipe = load_recipe(arguments.run)
    train = _train_list(arguments.run, recipe)
    photo = train.subset([arguments.photo]).photos[0] if arguments.photo else shown_photos(train, 1)[0]
    cells = chain(arguments.run, recipe, photo, classes=len(train.classes))
    row(cells).save(arguments.out, optimize=True)
    print(f"{arguments.out}: {photo.name}, {', '.join(train.classes[index] for index in photo.classes)}")


def _train_list(run: Path, recipe: Recipe) -> Collection:
    data = recipe.data
    root = run / "data" if data.source == "scenes" else Path(data.root)
    return read_voc(root, data.train, labels=data.labels, classes=data.classes or None)


def chain(run: Path, recipe: Recipe, photo: Photo, *, classes: int) -> dict[str, Picture]:
    """Caption -> picture, in the order of the chain; all of the photo's own size."""
    settings = recipe.train_cam
    pixels = read_photo(photo.path)
    png = f"{photo.name}.png"
    scores, class_ids = read_scores(run / "infer_cam" / "scores" / f"{photo.name}.npz")
    made = run / "bootstrap_refine" / LABEL_FOLDERS[settings.boundary_labels]
    boundary_labels = Path(settings.boundaries) if settings.boundaries else made
    boundary_map = pictures.boundary_picture(
        read_label(boundary_labels / png), maker=settings.boundary_maker, width=settings.boundary_width
    )
    walked = read_label(run / "random_walk" / "masks" / png)
    cells = {
        "photo": pixels,
        "CAM": pictures.heat_overlay(pixels, scores, class_ids),
        "CRF labels": pictures.color_label(read_label(run / "refine" / "labels" / png)),
        "boundary map": boundary_map,
        "random walk": pictures.color_label(walked),
        "segmenter + CRF": pictures.color_label(sbnet.load(run).mask(pixels, crf=True)),
    }
    if photo.mask is not None:
        size = (pixels.shape[0], pixels.shape[1])
        cells["ground truth"] = pictures.color_label(read_mask(photo.mask, classes=classes, size=size))
    return cells


def row(cells: dict[str, Picture]) -> Image.Image:
    """Pictures beside each other, each with its caption below."""
    height, width = next(iter(cells.values())).shape[:2]
    scale = CELL / max(height, width)
    size = (round(width * scale), round(height * scale))
    step = size[0] + GAP
    canvas = Image.new("RGB", (len(cells) * step - GAP, size[1] + CAPTION), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=22)
    for number, (caption, picture) in enumerate(cells.items()):
        smooth = caption in ("photo", "CAM")
        how = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
        canvas.paste(Image.fromarray(np.ascontiguousarray(picture)).resize(size, how), (number * step, 0))
        place = (number * step + size[0] // 2, size[1] + CAPTION // 2)
        draw.text(place, caption, fill="black", font=font, anchor="mm")
    return canvas


if __name__ == "__main__":
    main()
