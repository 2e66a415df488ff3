"""Each C++ kernel against the best way with numpy, scipy, PyTorch or OpenCV: python benchmarks/kernels.py [KERNEL ...]

Both sides get the same arrays and one thread, and compute the same. A kernel that gains less than a factor of two over
an exact library way does not earn its place. OpenCV is installed into the peers' environment (see `harness.py`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from crf import SBNET, blobs, photo, two_alphas
from harness import HERE, Side, compare, peers_python, table
from random_walk import case

SIZE = (375, 500)
CLASSES = 21
Job = Callable[[], np.ndarray]


def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def crf_sbnet(inputs: dict[str, np.ndarray]) -> Job:
    from crf import ours

    return ours(inputs, **SBNET)


def crf_torch(inputs: dict[str, np.ndarray]) -> Job:
    """The lattice in PyTorch, as it runs on a GPU."""
    import torch

    from sbnet.ops.dense_crf_torch import TorchMeanField

    one_thread()
    image, sets = torch.from_numpy(inputs["image"])[None], torch.from_numpy(inputs["probabilities"])

    def run() -> np.ndarray:
        mean_field = TorchMeanField(image, gaussian=SBNET["gaussian"], bilateral=SBNET["bilateral"])
        return mean_field(sets.flatten(2)[None], iterations=10, negligible=0.01).view_as(sets).numpy()

    return run


def walk_sbnet(inputs: dict[str, np.ndarray]) -> Job:
    from random_walk import ours

    return ours(inputs)


def walk_scipy(inputs: dict[str, np.ndarray]) -> Job:
    """64 products of the maps with a sparse matrix (CSR, float32)."""
    import torch
    from scipy import sparse

    from sbnet.ops.affinity import pair_views

    scores, affinity = inputs["scores"], inputs["affinity"]
    k, h, w = scores.shape
    places = torch.arange(h * w).reshape(h, w)
    pairs = [(start.flatten().numpy(), end.flatten().numpy()) for start, end in pair_views(places, 5)]
    start, end = (np.concatenate([pair[i] for pair in pairs]) for i in (0, 1))

    def run() -> np.ndarray:
        diagonal = np.arange(h * w)
        weights = affinity.reshape(-1) ** 8
        values = np.concatenate([weights, weights, np.ones(h * w, np.float32)])
        rows, columns = np.concatenate([start, end, diagonal]), np.concatenate([end, start, diagonal])
        matrix = sparse.csr_matrix((values, (rows, columns)), shape=(h * w, h * w))
        matrix = (
            sparse.diags(1 / np.asarray(matrix.sum(1)).ravel()) @ matrix
        )  # symmetric before: rows as columns
        maps = np.ascontiguousarray(scores.reshape(k, -1).T)
        for _ in range(64):
            maps = matrix @ maps
        return maps.T.reshape(scores.shape)

    return run


def sweep_sbnet(inputs: dict[str, np.ndarray]) -> Job:
    from sbnet.metrics import ThresholdSweep

    def run() -> np.ndarray:
        sweep = ThresholdSweep(CLASSES)
        sweep.add(inputs["scores"], inputs["ids"], inputs["target"])
        return sweep.confusions()

    return run


def sweep_torch(inputs: dict[str, np.ndarray]) -> Job:
    """Maximum, bucketize and bincount of (target, class, number of thresholds below the score) as one number."""
    import torch

    from sbnet.metrics import ThresholdSweep

    one_thread()
    scores, target = (torch.from_numpy(inputs[name]) for name in ("scores", "target"))
    ids = torch.from_numpy(inputs["ids"])

    def run() -> np.ndarray:
        sweep = ThresholdSweep(CLASSES)
        thresholds = torch.tensor(sweep.thresholds, dtype=torch.float32)
        wanted = target.flatten().long()
        known = (wanted != sweep.ignore).nonzero()[:, 0]
        best, channel = scores.flatten(1).max(0)
        assert not best.isnan().any()
        place = ids[channel] * (len(thresholds) + 1) + torch.bucketize(best, thresholds)
        cells = (wanted * (sweep._counts.size // CLASSES) + place)[known]
        counts = torch.bincount(cells, minlength=sweep._counts.size)
        sweep._counts += counts.numpy().reshape(sweep._counts.shape)
        return sweep.confusions()

    return run


def canny_sbnet(inputs: dict[str, np.ndarray]) -> Job:
    from sbnet.ops import canny

    return lambda: canny(inputs["image"])


def canny_scipy(inputs: dict[str, np.ndarray]) -> Job:
    from canny_scipy import canny

    return lambda: canny(inputs["image"])


def inputs_of(kernel: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    if kernel == "crf":
        return {"image": photo(None), "probabilities": two_alphas()}
    if kernel == "walk":
        return case(47, 63)
    if kernel == "canny":
        return {"image": photo(None, (448, 448))}
    cams = blobs(3, 0)
    truth = np.concatenate([np.full((1, *SIZE), 0.5), cams]).argmax(0).astype(np.uint8)
    truth[rng.random(SIZE) < 0.05] = 255
    return {"scores": cams, "ids": np.arange(1, 4), "target": truth}


KERNELS: dict[str, tuple[str, tuple[str, ...]]] = {
    "crf": ("dense CRF, 3 labels, both alphas, 500 x 375", ("torch",)),
    "walk": ("random walk, 3 maps, 64 steps, 47 x 63 grid", ("scipy",)),
    "sweep": ("60 thresholds, 3 maps, 500 x 375", ("torch",)),
    "canny": ("Canny, 448 x 448", ("scipy", "OpenCV")),
}


def peer(kernel: str, name: str) -> Side:
    if name == "OpenCV":
        python = peers_python("numpy", "opencv-python-headless")
        return Side(name, str(HERE / "opencv_side.py"), kernel, python)
    return Side(name, __file__, f"{kernel}_{name}")


def main(kernels: list[str]) -> str:
    rows = []
    for kernel in kernels or KERNELS:
        what, peers = KERNELS[kernel]
        for name in peers:
            ours: Any = Side("sbnet", __file__, f"{kernel}_sbnet")
            there, here = compare(peer(kernel, name), ours, inputs_of(kernel), runs=15)
            difference = np.abs(there.result.astype(float) - here.result.astype(float)).max()
            rows.append((what, there, here, f"largest difference {difference:.0e}"))
    return table("What the C++ is for; one thread", rows)


if __name__ == "__main__":
    print(main(sys.argv[1:]))
