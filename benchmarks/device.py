"""The ops on a GPU against our own on the CPU, on one thread: python benchmarks/device.py

Inputs lie on the device; the result's way to the host is timed too. Without a GPU it says so and measures nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from crf import DEEPLAB, SBNET, photo, segmenter, two_alphas
from harness import Side, compare, table
from random_walk import case

BATCH = 8


def on_cpu(inputs: dict[str, np.ndarray], *, op: str, **options: Any) -> Callable[[], np.ndarray]:
    return _run("cpu", inputs, op, options)


def on_gpu(inputs: dict[str, np.ndarray], *, op: str, **options: Any) -> Callable[[], np.ndarray]:
    return _run("cuda", inputs, op, options)


def _run(device: str, inputs: dict[str, np.ndarray], op: str, options: dict) -> Callable[[], np.ndarray]:
    import torch

    if device == "cpu":
        torch.set_num_threads(1)
    tensors = {name: torch.from_numpy(array).to(device) for name, array in inputs.items()}
    return lambda: OPS[op](**tensors, **options).cpu().numpy()


def crf(image: Any, probabilities: Any, *, gaussian: Any, bilateral: Any) -> Any:
    from sbnet.ops import DenseCRF

    return DenseCRF(image, gaussian=tuple(gaussian), bilateral=tuple(bilateral)).marginals(probabilities)


def random_walk(scores: Any, affinity: Any) -> Any:
    from sbnet import ops

    return ops.random_walk(scores, affinity)


def pair_affinity(features: Any) -> Any:
    from sbnet import ops

    return ops.pair_affinity(features)


def pair_labels(label: Any) -> Any:
    import torch

    from sbnet import ops

    return torch.stack(ops.pair_labels(label))


def label_boundaries(label: Any) -> Any:
    from sbnet import ops

    return ops.label_boundaries(label, classes=21)


def confusion(prediction: Any, target: Any) -> Any:
    from sbnet import metrics

    return metrics.confusion(prediction, target, classes=21)


OPS = {
    function.__name__: function
    for function in (crf, random_walk, pair_affinity, pair_labels, label_boundaries, confusion)
}


def cases() -> list[tuple[str, str, dict[str, np.ndarray], dict[str, Any]]]:
    """(what, op, inputs, options)."""
    random = np.random.default_rng(0)
    image, alphas, softmax, walk = photo(None), two_alphas(), segmenter(), case(47, 63)
    label = softmax[0].argmax(0).astype(np.uint8)
    several = f", {BATCH} at once"

    def repeat(array: np.ndarray) -> np.ndarray:
        return np.repeat(array[None], BATCH, 0)

    return [
        ("CRF, 3 labels, both alphas", "crf", {"image": image, "probabilities": alphas}, SBNET),
        ("CRF, 21 labels, DeepLab's settings", "crf", {"image": image, "probabilities": softmax}, DEEPLAB),
        (
            "CRF, 3 labels, both alphas" + several,
            "crf",
            {"image": repeat(image), "probabilities": repeat(alphas)},
            SBNET,
        ),
        ("random walk, 47 x 63", "random_walk", walk, {}),
        ("random walk, 47 x 63" + several, "random_walk", {name: repeat(walk[name]) for name in walk}, {}),
        (
            "pair affinity, 448 x 47 x 63",
            "pair_affinity",
            {"features": random.random((1, 448, 47, 63), np.float32)},
            {},
        ),
        ("pair labels, 47 x 63" + several, "pair_labels", {"label": repeat(label[::8, ::8].copy())}, {}),
        ("label boundaries, 500 x 375" + several, "label_boundaries", {"label": repeat(label)}, {}),
        (
            "confusion, 500 x 375" + several,
            "confusion",
            {"prediction": repeat(label), "target": repeat(np.roll(label, 9, 1))},
            {},
        ),
    ]


def main() -> str:
    import torch

    if not torch.cuda.is_available():
        return "No GPU: PyTorch sees none on this machine, so the ops' GPU paths are not measured."
    rows = []
    for what, op, inputs, options in cases():
        there, here = compare(
            Side("CPU", __file__, "on_cpu"), Side("GPU", __file__, "on_gpu"), inputs, op=op, **options
        )
        difference = np.abs(there.result.astype(float) - here.result.astype(float)).max()
        rows.append((what, there, here, f"largest difference {difference:.0e}"))
    return table(f"sbnet on {torch.cuda.get_device_name()} (ours) against sbnet on one CPU thread", rows)


if __name__ == "__main__":
    print(main())
