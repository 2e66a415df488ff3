"""Image-level labels as a run reads them: images by class, and everything that it would refuse."""

from __future__ import annotations

from collections.abc import Collection as Names
from collections.abc import Mapping
from pathlib import Path

from sbnet.data.datasets.collection import Collection, Photo
from sbnet.data.datasets.findings import Findings
from sbnet.data.datasets.labels import look_into_label_file

FEW = 20  # images; a class with fewer is hard to learn
Ids = Mapping[str, tuple[int, ...]]  # image name -> class ids


def check_label_file(
    found: Findings, file: str | Path, names: tuple[str, ...], photos: Mapping[str, Path], train: Names[str]
) -> None:
    """photos: all images. train: names in the list to train on. Raises `SBNetError` for a file that cannot be read."""
    labels, wrong = look_into_label_file(file, names)
    found.problems.extend(wrong)
    strangers = []
    for name, line in labels.lines.items():
        if name not in photos:
            remedy = f" (write '{Path(name).stem}')" if Path(name).stem in photos else ""
            strangers.append(f"line {line}: there is no image '{name}'{remedy}")
    bare = [f"'{name}' is not in it" for name in photos if name not in labels.lines]
    text = (
        f"{len(labels.lines) - len(strangers)} images in {labels.path}; {len(strangers)} names without an image, "
        f"{len(bare)} images not in it"
    )
    found.add("label file", text, [*strangers, *bare])
    where = {name: f"{labels.path}, line {line}" for name, line in labels.lines.items()}
    check_labels(found, labels.classes, where, names, photos, train, lack=f"are not in {labels.path}")


def check_labels(
    found: Findings,
    ids: Ids,
    where: Mapping[str, str | Path],
    names: tuple[str, ...],
    photos: Mapping[str, Path],
    train: Names[str],
    *,
    lack: str,
) -> None:
    """Images by class, of list train where there is one; images and classes that a training refuses.

    ids: the labels that can be used. where: the place of each image's labels; the others `lack` them, in words.
    """
    if bare := [name for name in train if name not in where]:
        found.problems.append(
            f"{len(bare)} of {len(train)} images of list train {lack} ('{bare[0]}' is the first): label them, remove "
            "them from the list, or give a label file (--labels FILE; for a run: data.labels=FILE)"
        )
    images = [
        Photo(name, photos[name], ids[name], labelled=str(where[name]))
        for name in train or ids
        if name in ids and name in photos
    ]
    collection = Collection(names, tuple(images), "list train")
    counts = sorted(zip(collection.class_counts()[1:].tolist(), names[1:], strict=True))
    if any(count for count, _ in counts):
        few = sum(count < FEW for count, _ in counts)
        of = "images of list train" if train else "images"
        text = f"{few} of {len(counts)} classes are in fewer than {FEW} {of}"
        found.add("classes", text, [f"{name}: {count}" for count, name in counts])
    if train and len(images) == len(train):
        found.problems.extend(collection.untrainable())
