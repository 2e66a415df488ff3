"""The dense CRF against pydensecrf2 1.1 on one thread: python benchmarks/crf.py [IMAGE]

Without an image, a built-in scene; 500 x 375 either way. Probabilities: what a CAM or a segmenter gives, made of blurred
noise, which overlaps more than either.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from harness import HERE, Side, compare, peers_python, table
from scipy import ndimage

SIZE = (375, 500)
SBNET = {"gaussian": (3, 3), "bilateral": (80, 13, 10)}
DEEPLAB = {"gaussian": (1, 3), "bilateral": (67, 3, 4)}


def ours(
    inputs: dict[str, np.ndarray], *, gaussian: Any, bilateral: Any, negligible: float = 0.01
) -> Callable[[], np.ndarray]:
    from sbnet.ops import DenseCRF

    image, sets = inputs["image"], inputs["probabilities"]

    def run() -> np.ndarray:
        crf = DenseCRF(image, gaussian=tuple(gaussian), bilateral=tuple(bilateral))
        return crf.marginals(sets, negligible=negligible)

    return run


def photo(path: str | None, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(H, W, 3) uint8 of this (H, W)."""
    from PIL import Image

    from sbnet.data.synthetic.scenes import scene

    if path is None:
        return scene(0, 3, size=size)[0]
    return np.asarray(Image.open(path).convert("RGB").resize(size[::-1]))


def blobs(labels: int, seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(labels, H, W) in [0, 1]: smooth random maps, of this (H, W)."""
    noise = np.random.default_rng(seed).standard_normal((labels, *size))
    smooth = ndimage.gaussian_filter(noise, (0, size[0] / 15, size[0] / 15))
    low, high = smooth.min((1, 2), keepdims=True), smooth.max((1, 2), keepdims=True)
    return ((smooth - low) / (high - low)).astype(np.float32)


def two_alphas() -> np.ndarray:
    """(2, 3, H, W): CAMs of two classes under backgrounds of alpha 4 and 24."""
    cams = blobs(2, 0)
    background = 1 - cams.max(0, keepdims=True)
    return np.stack([np.concatenate([background**alpha, cams]) for alpha in (4, 24)])


def segmenter() -> np.ndarray:
    """(1, 21, H, W): a softmax in which five labels matter, as in an image with four classes."""
    logits = blobs(21, 1) * 20
    logits[5:] -= 25
    weights = np.exp(logits - logits.max(0))
    return (weights / weights.sum(0))[None].astype(np.float32)


def main(path: str | None) -> str:
    python = peers_python("numpy", "pydensecrf2==1.1")
    peer = Side("pydensecrf2", str(HERE / "pydensecrf2_side.py"), "crf", python)
    mine = Side("sbnet", __file__, "ours")
    image, rows = photo(path), []
    for what, probabilities, options, negligible in (
        ("3 labels, both alphas", two_alphas(), SBNET, 0.01),
        ("21 labels, SBNet's settings", segmenter(), SBNET, 0.01),
        ("the same, none left out", segmenter(), SBNET, 0.0),
        ("21 labels, DeepLab's settings", segmenter(), DEEPLAB, 0.01),
        ("the same, none left out", segmenter(), DEEPLAB, 0.0),
    ):
        inputs = {"image": image, "probabilities": probabilities}
        there, here = compare(peer, mine, inputs, negligible=negligible, **options)
        same = (there.result.argmax(1) == here.result.argmax(1)).mean()
        rows.append((what, there, here, f"{100 * same:.3f} % of argmax"))
    return table("Dense CRF, 500 x 375, 10 iterations, one thread", rows)


if __name__ == "__main__":
    print(main(sys.argv[1] if len(sys.argv) > 1 else None))
