"""The random walk against the dense matrix, squared six times: python benchmarks/random_walk.py [large]

`large`: a 94 x 125 grid besides, once, after one run to warm up: the peer takes minutes a run and 2 GiB.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
from harness import Side, compare, table


def _tensors(inputs: dict[str, np.ndarray]) -> tuple:
    import torch

    torch.set_num_threads(1)
    return torch.from_numpy(inputs["scores"]), torch.from_numpy(inputs["affinity"])


def ours(inputs: dict[str, np.ndarray]) -> Callable[[], np.ndarray]:
    from sbnet.ops import random_walk

    scores, affinity = _tensors(inputs)
    return lambda: random_walk(scores, affinity, beta=8, steps=64).numpy()


def dense(inputs: dict[str, np.ndarray]) -> Callable[[], np.ndarray]:
    """The symmetric matrix of affinity^8, columns divided by their sums, squared six times."""
    import torch

    from sbnet.ops.affinity import pair_views

    scores, affinity = _tensors(inputs)
    k, h, w = scores.shape
    places = torch.arange(h * w).reshape(h, w)
    pairs = [(start.flatten(), end.flatten()) for start, end in pair_views(places, 5)]

    def run() -> np.ndarray:
        matrix = torch.eye(h * w)
        for (start, end), row in zip(pairs, affinity, strict=True):
            matrix[start, end] = row
            matrix[end, start] = row
        matrix = matrix**8
        matrix = matrix / matrix.sum(0, keepdim=True)
        for _ in range(6):
            matrix = matrix @ matrix
        return (scores.reshape(k, -1) @ matrix).reshape(k, h, w).numpy()

    return run


def case(h: int, w: int) -> dict[str, np.ndarray]:
    """Scores of three maps and affinities of smooth random features."""
    import torch

    from sbnet.ops import pair_affinity

    torch.manual_seed(0)
    coarse = torch.randn(1, 32, h // 6, w // 6)
    features = torch.nn.functional.interpolate(coarse, (h, w), mode="bilinear") * 0.7
    return {"scores": torch.rand(3, h, w).numpy(), "affinity": pair_affinity(features)[0].numpy()}


def main(*, large: bool) -> str:
    rows = []
    for h, w, runs in ((24, 32, 5), (47, 63, 5), *([(94, 125, 1)] if large else [])):
        there, here = compare(
            Side("dense", __file__, "dense"), Side("sbnet", __file__, "ours"), case(h, w), runs=runs
        )
        difference = np.abs(there.result - here.result).max()
        rows.append((f"{h} x {w} grid", there, here, f"largest difference {difference:.1e}"))
    return table("Random walk, 3 maps, beta 8, 64 steps, one thread", rows)


if __name__ == "__main__":
    print(main(large=sys.argv[1:] == ["large"]))
