"""How times grow: python benchmarks/curves.py FILE.png

The dense CRF with the image's pixels and with the labels, the random walk (time and memory) with the grid, and the
threshold curve with the images, peer and ours as in their own benchmarks; the step `crf` with its workers. Some six
minutes.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import crf_step
import evaluation
import numpy as np
import random_walk
from crf import SBNET, blobs, photo
from harness import HERE, Measured, Side, compare, machine, peers_python
from matplotlib.axes import Axes
from matplotlib.figure import Figure

SIZES = ((94, 125), (188, 250), (375, 500), (750, 1000))
LABELS = (2, 5, 10, 21)
GRIDS = ((12, 16), (24, 32), (36, 48), (47, 63))
LARGER_GRIDS = (
    (94, 125),
    (188, 250),
    (375, 500),
)  # ours alone: the dense matrix of the last has 35 billion numbers
PHOTOS = (5, 10, 20)
PEER, OURS = "#c25b12", "#1f6fb2"


def crf_times(size: tuple[int, int], labels: int, sets: int) -> tuple[Measured, Measured]:
    """One thread; every label matters, so that none is left out."""
    peer = Side(
        "pydensecrf2", str(HERE / "pydensecrf2_side.py"), "crf", peers_python("numpy", "pydensecrf2==1.1")
    )
    weights = np.exp(4 * blobs(labels, 0, size))
    probabilities = np.stack([weights / weights.sum(0)] * sets).astype(np.float32)
    inputs = {"image": photo(None, size), "probabilities": probabilities}
    return compare(peer, Side("sbnet", str(HERE / "crf.py"), "ours"), inputs, runs=3, **SBNET)


def walk_times(size: tuple[int, int], *, dense: bool) -> tuple[Measured, Measured]:
    script = str(HERE / "random_walk.py")
    ours = Side("sbnet", script, "ours")
    peer = Side("dense", script, "dense") if dense else ours
    return compare(peer, ours, random_walk.case(*size), runs=3)


def curve_times(folder: Path, photos: int) -> tuple[Measured, Measured]:
    """All cores."""
    names = evaluation.make_files(folder, photos)
    script = str(HERE / "evaluation.py")
    sides = [Side(name, script, name) for name in ("loops", "ours")]
    return compare(*sides, {}, runs=1, folder=str(folder), names=names, curve=True)


def draw_pair(axes: Axes, where: list[float], pairs: list[tuple[Measured, Measured]], peer: str) -> None:
    axes.loglog(where, [1e3 * there.wall for there, _ in pairs], "o-", color=PEER, label=peer)
    axes.loglog(where, [1e3 * here.wall for _, here in pairs], "o-", color=OURS, label="sbnet")


def draw_walk(time: Axes, memory: Axes) -> None:
    pairs = [walk_times(size, dense=True) for size in GRIDS]
    larger = [walk_times(size, dense=False)[1] for size in LARGER_GRIDS]
    ours = [*(here for _, here in pairs), *larger]
    for axes, quantity, unit in (
        (time, lambda side: 1e3 * side.wall, "ms"),
        (memory, lambda side: side.peak / 2**20, "MiB, libraries included"),
    ):
        for label, sizes, sides, color in (
            ("dense matrix", GRIDS, [there for there, _ in pairs], PEER),
            ("sbnet", (*GRIDS, *LARGER_GRIDS), ours, OURS),
        ):
            cells = [height * width for height, width in sizes]
            axes.loglog(cells, [quantity(side) for side in sides], "o-", color=color, label=label)
        axes.set(title="random walk, 64 steps", xlabel="grid cells", ylabel=unit)


def main(path: str) -> None:
    figure = Figure(figsize=(12, 6.4), layout="constrained")
    by_size, by_labels, by_photos, by_grid, memory, by_workers = panels = figure.subplots(2, 3).ravel()
    megapixels = [height * width / 1e6 for height, width in SIZES]
    draw_pair(by_size, megapixels, [crf_times(size, 3, 2) for size in SIZES], "pydensecrf2")
    by_size.set(title="dense CRF, 3 labels, two sets", xlabel="megapixels", ylabel="ms")
    pairs = [crf_times((375, 500), labels, 1) for labels in LABELS]
    draw_pair(by_labels, list(LABELS), pairs, "pydensecrf2")
    by_labels.set(title="dense CRF, 500 x 375, all labels matter", xlabel="labels", ylabel="ms")
    by_labels.set_xticks(LABELS, [str(labels) for labels in LABELS], minor=False)
    by_labels.minorticks_off()

    with tempfile.TemporaryDirectory() as folder:
        measured = []
        for photos in PHOTOS:
            (Path(folder) / str(photos)).mkdir()
            measured.append(curve_times(Path(folder) / str(photos), photos))
    draw_pair(by_photos, list(PHOTOS), measured, "loops")
    by_photos.set(title="60-threshold curve, 500 x 375", xlabel="images", ylabel="ms")
    by_photos.set_xticks(PHOTOS, [str(photos) for photos in PHOTOS], minor=False)
    by_photos.minorticks_off()
    draw_walk(by_grid, memory)

    with tempfile.TemporaryDirectory() as folder:
        alone, rates = crf_step.rates(Path(folder), 48)
    counts = list(rates)
    by_workers.plot(counts, list(rates.values()), "o-", color=OURS, label="the step crf")
    by_workers.plot(
        counts,
        [rates[1] * count for count in counts],
        "--",
        color="0.5",
        label="one worker's rate times workers",
    )
    by_workers.set(
        title="the step crf, 500 x 375",
        xlabel="workers",
        ylabel="images a second",
        xticks=counts,
        ylim=(0, None),
    )
    for axes in panels:
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    figure.suptitle(machine(), fontsize=9)
    figure.savefig(path, dpi=80)
    print(f"the CRF alone: {alone:.1f} images a second; picture: {path}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(sys.argv[1])
