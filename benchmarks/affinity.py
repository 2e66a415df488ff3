"""Affinities of AffinityNet's pixel pairs: python benchmarks/affinity.py

The peer gathers the features of both pixels of every pair by their indices, as the reference does; ours takes slices.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from harness import Side, compare, table

CHANNELS, GRID, RADIUS = 448, (56, 56), 5  # of a crop of 448 at stride 8


def _timed(inputs: dict[str, np.ndarray], affinity: Callable, backward: bool) -> Callable[[], np.ndarray]:
    """The affinities, or with `backward` the features' gradient of the sum of their logarithms."""
    import torch

    torch.set_num_threads(1)
    features = torch.from_numpy(inputs["features"])

    def run() -> np.ndarray:
        if not backward:
            return affinity(features).numpy()
        leaf = features.clone().requires_grad_()
        affinity(leaf).log().sum().backward()
        return leaf.grad.numpy()

    return run


def ours(inputs: dict[str, np.ndarray], *, backward: bool) -> Callable[[], np.ndarray]:
    from sbnet.ops import pair_affinity

    return _timed(inputs, lambda features: pair_affinity(features, radius=RADIUS), backward)


def indices(inputs: dict[str, np.ndarray], *, backward: bool) -> Callable[[], np.ndarray]:
    import torch

    from sbnet.ops.affinity import pair_views

    places = torch.arange(GRID[0] * GRID[1]).reshape(GRID)
    pairs = list(pair_views(places, RADIUS))
    start, end = pairs[0][0].flatten(), torch.cat([view.flatten() for _, view in pairs])

    def affinity(features):  # type: ignore[no-untyped-def]
        flat = features.flatten(2)
        first = flat.index_select(2, start)[:, :, None]
        second = flat.index_select(2, end).unflatten(2, (len(pairs), -1))
        return torch.exp(-torch.mean(torch.abs(second - first), dim=1))

    return _timed(inputs, affinity, backward)


def main() -> str:
    features = np.random.default_rng(0).standard_normal((1, CHANNELS, *GRID)).astype(np.float32)
    rows = []
    for what, backward in (("forward", False), ("forward and backward", True)):
        there, here = compare(
            Side("index_select", __file__, "indices"),
            Side("sbnet", __file__, "ours"),
            {"features": features},
            backward=backward,
        )
        difference = np.abs(there.result - here.result).max()
        rows.append((what, there, here, f"largest difference {difference:.0e}"))
    return table(f"Pair affinities, {CHANNELS} channels, {GRID[0]} x {GRID[1]} grid, one thread", rows)


if __name__ == "__main__":
    print(main())
