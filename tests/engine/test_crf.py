"""The CRF within the memory at hand, and where it runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from refusals import GPU_IS_FULL
from sbnet.data.synthetic.scenes import scene
from sbnet.engine import crf as module
from sbnet.engine.crf import PhotoCRF
from sbnet.engine.runtime import Runtime
from sbnet.errors import SBNetError
from sbnet.ops import DenseCRF
from ways import NO_CUDA

DEEPLAB = {"gaussian": (1.0, 3.0), "bilateral": (67.0, 3.0, 4.0)}


@pytest.fixture
def given() -> tuple[np.ndarray, np.ndarray]:
    """A photo, and probabilities of its mask's labels that a fifth of the pixels have wrong."""
    pixels, mask, _ = scene(0, 3, size=(60, 80))
    random = np.random.default_rng(0)
    seen = np.where(random.random(mask.shape) < 0.2, random.permuted(mask), mask)
    labels = np.unique(mask)
    return pixels, np.where(labels[:, None, None] == seen, 0.8, 0.2 / (len(labels) - 1)).astype(np.float32)


@pytest.mark.parametrize("asked", ["cpu", "device"])
def test_on_the_cpu_it_is_the_compiled_one(asked: str, given: tuple[np.ndarray, np.ndarray]) -> None:
    pixels, probabilities = given
    crf = PhotoCRF(Runtime(device="cpu", crf_device=asked))
    with crf.room("photo", (60, 80), labels=len(probabilities)) as marginals:
        found = marginals(pixels, probabilities, iterations=4, **DEEPLAB)
    np.testing.assert_array_equal(found, DenseCRF(pixels, **DEEPLAB).marginals(probabilities, iterations=4))


@pytest.mark.gpu
@NO_CUDA
def test_on_a_gpu_by_choice(given: tuple[np.ndarray, np.ndarray]) -> None:
    pixels, probabilities = given
    on_cpu, on_gpu = (PhotoCRF(Runtime(device="cuda", crf_device=where)) for where in ("cpu", "device"))
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.max_memory_allocated()
    with on_cpu.room("photo", (60, 80), labels=len(probabilities)) as marginals:
        expected = marginals(pixels, probabilities)
    assert torch.cuda.max_memory_allocated() == before
    with on_gpu.room("photo", (60, 80), labels=len(probabilities)) as marginals:
        found = marginals(pixels, probabilities)
    assert torch.cuda.max_memory_allocated() > before
    assert (found.argmax(0) == expected.argmax(0)).mean() >= 0.999


def test_a_photo_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    needed = 0.9 * DenseCRF.memory_needed(600 * 800, labels=21)
    monkeypatch.setattr(module, "available_memory", lambda: needed / module.MEMORY_SHARE)
    crf = PhotoCRF(Runtime(device="cpu"))
    with crf.room(Path("small.jpg"), (400, 800), labels=21), crf.room(Path("b.jpg"), (1, 2), labels=21):
        pass
    for size, labels, sets in (((600, 800), 21, 1), ((400, 800), 21, 2), ((400, 800), 43, 1)):
        with (
            pytest.raises(
                SBNetError, match=rf"large.jpg: the CRF of {size[0] * size[1]} pixels and {labels - 1}"
            ),
            crf.room(Path("large.jpg"), size, labels=labels, sets=sets),
        ):
            pass


def test_a_photo_that_turns_out_too_large(
    given: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Noise has more vertices than photos have: known once its lattices are built, and refused then."""
    _, probabilities = given
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    expected = DenseCRF.memory_needed(60 * 80, labels=len(probabilities))
    monkeypatch.setattr(module, "available_memory", lambda: 1.2 * expected / module.MEMORY_SHARE)
    crf = PhotoCRF(Runtime(device="cpu"))
    for _ in range(2):  # what was kept for it is free again
        with (
            pytest.raises(SBNetError, match=r"noise.png: the CRF of 4800 pixels .* make the image smaller"),
            crf.room("noise.png", (60, 80), labels=len(probabilities)) as marginals,
        ):
            marginals(noise, probabilities, **DEEPLAB)
    with crf.room("photo.png", (60, 80), labels=len(probabilities)) as marginals:
        assert marginals(np.zeros_like(noise), probabilities, **DEEPLAB).shape == probabilities.shape


def test_a_gpu_without_enough_memory_is_told_with_the_remedy(
    given: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError(GPU_IS_FULL)

    pixels, probabilities = given
    crf = PhotoCRF(Runtime(device="cpu"))
    monkeypatch.setattr(DenseCRF, "marginals", full)
    with (
        pytest.raises(
            SBNetError, match=r"photo.png: not enough GPU memory .*run the CRF on the CPU \(runtime.crf_d"
        ),
        crf.room("photo.png", (60, 80), labels=len(probabilities)) as marginals,
    ):
        marginals(pixels, probabilities)
