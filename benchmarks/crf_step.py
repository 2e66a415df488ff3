"""The step `crf` on images of 500 x 375, by workers, beside the CRF alone: python benchmarks/crf_step.py [IMAGES]

What is asked: does the step's rate grow with the cores, or do Python, decoding and writing hold it back? The CRF of
one image, on one thread and from memory, is the rate that cores could reach; the step reads and writes files besides.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from crf import blobs, photo
from harness import machine
from PIL import Image

ROUNDS = 5
CLASSES = 2


def make_context(folder: Path, photos: int, workers: int):  # type: ignore[no-untyped-def]
    """The step's, with images and scores made once."""
    from sbnet.backbones.settings import BackboneSettings
    from sbnet.data.datasets.collection import Collection, Photo
    from sbnet.data.datasets.labels import VOC_CLASSES
    from sbnet.data.io.files import write_scores
    from sbnet.data.synthetic.scenes import scene
    from sbnet.engine.runtime import Runtime
    from sbnet.steps.context import Context

    listed = []
    for number in range(photos):
        path = folder / f"image{number:04}.jpg"
        if not path.exists():
            Image.fromarray(scene(number, 3, size=(375, 500))[0]).save(path, quality=92)
            write_scores(folder / "scores" / f"{path.stem}.npz", blobs(CLASSES, number), np.array([3, 7]))
        listed.append(Photo(path.stem, path, (3, 7)))
    collection = Collection(VOC_CLASSES, tuple(listed), "benchmark")
    out = Path(tempfile.mkdtemp(dir=folder))
    inputs = {"scores": folder / "scores"}
    return Context(out, inputs, collection, None, BackboneSettings(), Runtime(workers=workers))


def rate(photos: int, work: Callable[[], object]) -> float:
    """Images a second."""
    begun = time.perf_counter()
    work()
    return photos / (time.perf_counter() - begun)


def rates(folder: Path, photos: int) -> tuple[float, dict[int, float]]:
    """Of the CRF alone, and of the step by workers; medians, measured in turn."""
    from sbnet.engine.crf import PhotoCRF
    from sbnet.engine.runtime import Runtime
    from sbnet.steps import crf as step
    from sbnet.steps.settings import CrfSettings
    from sbnet.work.parallel import cpu_count

    crf = PhotoCRF(Runtime(device="cpu"))
    settings, image, scores = CrfSettings(), photo(None), blobs(CLASSES, 0)
    backgrounds = [(alpha, 1.0) for alpha in (settings.low_alpha, settings.high_alpha, settings.mask_alpha)]

    def crf_alone() -> None:
        for _ in range(8):
            with crf.room("scene", image.shape[:2], labels=CLASSES + 1, sets=len(backgrounds)) as marginals:
                step.refined(marginals, image, scores, backgrounds, settings)

    cores = cpu_count()
    counts = sorted({1, *(2**i for i in range(10) if 2**i < cores), cores})
    alone: list[float] = []
    seen: dict[int, list[float]] = {count: [] for count in counts}
    for round_ in range(ROUNDS + 1):
        first = rate(8, crf_alone)
        found = {}
        for count in counts:
            context = make_context(folder, photos, count)
            found[count] = rate(photos, lambda at=context: step.run(settings, at))  # type: ignore[misc]
        if round_ > 0:  # the first one warms up
            alone.append(first)
            for count in counts:
                seen[count].append(found[count])
    return statistics.median(alone), {count: statistics.median(some) for count, some in seen.items()}


def main(arguments: list[str]) -> str:
    import torch

    torch.set_num_threads(1)  # as the step does
    photos = int(arguments[0]) if arguments else 48
    with tempfile.TemporaryDirectory() as folder:
        alone, by_workers = rates(Path(folder), photos)
    lines = [
        f"**The step crf, {photos} images of 500 x 375, {CLASSES} classes, three alphas** ({machine()})",
        "",
        "| | images a second | of workers x CRF alone |",
        "| --- | --- | --- |",
        f"| CRF alone, one thread, from memory | {alone:.1f} | |",
    ]
    for count, found in by_workers.items():
        what = f"the step, {count} worker{'s' * (count > 1)}"
        lines.append(f"| {what} | {found:.1f} | {found / (count * alone):.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(main(sys.argv[1:]))
