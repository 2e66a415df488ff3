"""Photos through the loop, and what comes back of them."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from refusals import GPU_IS_FULL
from sbnet.data.datasets.collection import Photo
from sbnet.data.io import image
from sbnet.engine.inference import Batch, Job, LoadedImage, infer
from sbnet.engine.predict import SegmenterPredictor
from sbnet.engine.runtime import Runtime
from sbnet.engine.views import inference_network, stacks, to_device, to_host
from sbnet.errors import SBNetError
from sbnet.networks.build import build
from sbnet.segmenters.segmenter import SegmenterOutput
from ways import NO_CUDA


class Echo(nn.Module):
    """The first channel as the second class's logit: what comes back must lie where the photo has it."""

    normalization = staticmethod(lambda photo: photo.float() / 255)

    def forward(self, images):
        logits = torch.cat([images[:, :1] * 0 + 0.5, images[:, :1]], 1) * 8
        return SegmenterOutput(logits, (logits,))


@pytest.fixture
def photo() -> np.ndarray:
    """Bright at the upper left alone."""
    pixels = np.zeros((12, 17, 3), np.uint8)
    pixels[:5, :6] = 255
    return pixels


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("scales", [(1.0,), (0.5, 1.0, 2.0)])
def test_probabilities_lie_where_the_photo_has_them(photo, scales, mirror):
    runtime = Runtime(device="cpu", precision="32")
    predictor = SegmenterPredictor(Echo(), runtime=runtime, scales=scales, mirror=mirror)
    of_scales = stacks([photo], scales, device=runtime.torch_device())
    found = predictor.from_views(of_scales, photo.shape[:2])[0].numpy()
    assert found.shape == (2, 12, 17)
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)
    bright = photo[..., 0] > 0
    assert (found.argmax(0) == bright).mean() > 0.97
    if scales == (1.0,):
        np.testing.assert_allclose(found[1], 1 / (1 + np.exp(np.where(bright, -4, 4))), atol=1e-5)


@pytest.mark.parametrize(("precision", "kept"), [("32", torch.float32), ("bf16", torch.bfloat16)])
def test_a_network_made_ready_gives_what_it_gave(precision, kept):
    """The backbone's convolutions in the run's precision, batch norms folded, heads as they were."""
    torch.manual_seed(0)
    model = build("sbnet-lite0", 5).eval()
    images = torch.randn(1, 3, 96, 112)
    with torch.no_grad():
        expected = model(images).cam
        _, network = inference_network(model, Runtime(device="cpu", precision=precision))
        found = network(images).cam
    backbone = [module for module in model.backbone.modules() if isinstance(module, nn.Conv2d)]
    assert {module.weight.dtype for module in backbone} == {kept}
    assert model.fc8.weight.dtype == found.dtype == torch.float32
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.backbone.modules())
    worst = (found - expected).abs().max() / (expected.max() - expected.min())
    assert worst < (1e-4 if precision == "32" else 0.05)


class Names(Job[str, str]):
    """Notes the batches, and what is written: each image's name, through all three methods."""

    def __init__(self, scales: tuple[float, ...] = (1,), *, mirror: bool = False) -> None:
        self.scales, self.mirror = scales, mirror
        self.batches: list[Batch] = []
        self.written: list[str] = []
        self.on: set[int] = set()

    def load(self, photo: Photo) -> LoadedImage:
        return replace(super().load(photo), extra=photo.classes)

    def forward(self, batch: Batch) -> list[str]:
        assert torch.is_inference_mode_enabled()
        self.batches.append(batch)
        return [loaded.photo.name for loaded in batch.images]

    def write(self, image: LoadedImage, result: str) -> str:
        assert result == image.photo.name
        assert not image.views
        self.on.add(threading.get_ident())
        self.written.append(result)
        return result


SIZES = ((6, 9), (9, 6), (12, 4), (20, 30))


@pytest.fixture(scope="module")
def of_each_size(tmp_path_factory: pytest.TempPathFactory) -> list[Photo]:
    """The last one as a camera writes it: its rows are the photo's columns."""
    folder, photos = tmp_path_factory.mktemp("photos"), []
    for number, (height, width) in enumerate(SIZES):
        turned = number == len(SIZES) - 1
        pixels = np.full((width, height, 3) if turned else (height, width, 3), number, np.uint8)
        exif = Image.Exif()
        exif[0x0112] = 6 if turned else 1
        path = folder / f"{number}.png"
        Image.fromarray(pixels).save(path, exif=exif)
        photos.append(Photo(str(number), path, (number,)))
    return photos


@settings(max_examples=60, deadline=None)
@given(
    kinds=st.lists(st.integers(0, len(SIZES) - 1), max_size=25),
    most=st.integers(1, 6),
    workers=st.integers(0, 3),
    mirror=st.booleans(),
)
def test_every_photo_once_with_others_of_its_size(
    of_each_size: list[Photo], kinds: list[int], most: int, workers: int, mirror: bool
) -> None:
    photos = [Photo(f"{n}", of_each_size[kind].path, (kind,)) for n, kind in enumerate(kinds)]
    job = Names((0.5, 2), mirror=mirror)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image, "MAX_PIXELS", 600 * 4 * 2 * (1 + mirror))  # two of the largest at scale 2
        results = infer(photos, job, runtime=Runtime(device="cpu", workers=workers, inference_batch=most))
        assert list(results) == [loaded.photo.name for batch in job.batches for loaded in batch.images]
    assert sorted(job.written) == sorted(photo.name for photo in photos)
    assert threading.get_ident() not in job.on
    batches = job.batches
    for batch in batches:
        ((kind,),) = {loaded.extra for loaded in batch.images}
        height, width = SIZES[kind]
        assert batch.size == (height, width)
        assert all((loaded.pixels == kind).all() for loaded in batch.images)
        count = len(batch.images)
        assert 1 <= count <= min(most, 2 if kind == 3 else most)
        assert [view.shape for view in batch.views] == [
            (count, 3, round(height * scale), round(width * scale)) for scale in (0.5, 2)
        ]
    if most == 1:
        assert [batch.images[0].photo.name for batch in batches] == [photo.name for photo in photos]
    full = [min(most, 2) if kind == 3 else most for kind in range(len(SIZES))]
    assert len(batches) == sum(-(-kinds.count(kind) // full[kind]) for kind in set(kinds))


@pytest.mark.parametrize("most", [1, 3])
def test_what_cannot_be_read_or_written_ends_the_loop(
    of_each_size: list[Photo], tmp_path: Path, most: int
) -> None:
    """After what came before it."""
    runtime, first = Runtime(device="cpu", workers=1, inference_batch=most), of_each_size[0]
    job = Names()
    (tmp_path / "broken.png").write_bytes(first.path.read_bytes()[:-25])  # its header is whole
    photos = [*of_each_size[1:], Photo("broken", tmp_path / "broken.png", (1,))]
    with pytest.raises(SBNetError, match=r"broken.png: the image cannot be read"):
        list(infer(photos, job, runtime=runtime))
    assert job.written == [photo.name for photo in of_each_size[1:]]

    class Full(Names):
        def write(self, image: LoadedImage, result: str) -> str:
            raise SBNetError("disk full")

    with pytest.raises(SBNetError, match="disk full"):
        list(infer([first], Full(), runtime=runtime, failed=lambda photo, error: None))


@pytest.fixture(scope="module")
def unreadable(of_each_size: list[Photo], tmp_path_factory: pytest.TempPathFactory) -> list[Photo]:
    """Whole in its header alone; broken in it; not there; with too many pixels."""
    folder = tmp_path_factory.mktemp("broken")
    whole = of_each_size[0].path.read_bytes()
    (folder / "cut.png").write_bytes(whole[:-25])
    (folder / "text.png").write_text("no photo")
    Image.new("RGB", (60, 50)).save(folder / "large.png")
    return [Photo(name, folder / f"{name}.png") for name in ("cut", "text", "none", "large")]


@settings(max_examples=60, deadline=None)
@given(
    kinds=st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=25),
    most=st.integers(1, 6),
    workers=st.integers(0, 3),
)
def test_what_cannot_be_read_is_told_and_the_others_go_on(
    of_each_size: list[Photo],
    unreadable: list[Photo],
    kinds: list[tuple[bool, int]],
    most: int,
    workers: int,
) -> None:
    told: list[str] = []
    photos = [
        replace((of_each_size if readable else unreadable)[kind], name=f"{n}", classes=(1 + readable,))
        for n, (readable, kind) in enumerate(kinds)
    ]

    def failed(photo: Photo, error: SBNetError) -> None:
        assert str(photo.path) in str(error)
        told.append(photo.name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image, "MAX_PIXELS", 2500)
        runtime = Runtime(device="cpu", workers=workers, inference_batch=most)
        given = list(infer(photos, Names(), runtime=runtime, failed=failed))
    good = [photo.name for photo in photos if photo.classes == (2,)]
    bad = [photo.name for photo in photos if photo.classes == (1,)]
    assert sorted(given) == sorted(good)
    assert sorted(told) == sorted(bad)
    if most == 1:
        assert (given, told) == (good, bad)


@pytest.mark.parametrize("most", [1, 3])
def test_a_gpu_without_enough_memory_is_told_with_the_remedy(of_each_size: list[Photo], most: int) -> None:
    """After what came before it, and to whoever called, not as a photo that cannot be read."""

    class Hungry(Names):
        def forward(self, batch: Batch) -> list[str]:
            names = super().forward(batch)
            if "3" in names:
                raise torch.OutOfMemoryError(GPU_IS_FULL)
            return names

    job = Hungry()
    told: list[Photo] = []
    photos = [*of_each_size[:3], *[of_each_size[3]] * most]
    runtime = Runtime(device="cpu", inference_batch=most)
    with pytest.raises(SBNetError) as caught:
        list(infer(photos, job, runtime=runtime, failed=lambda photo, _: told.append(photo)))
    message = str(caught.value)
    assert message.startswith(f"{of_each_size[3].path}: not enough GPU memory (CUDA out of memory. ")
    first = "lower runtime.inference_batch below 3" if most > 1 else "make the image smaller"
    assert f": {first}, lower the scales at which the network sees it, use the CPU (device=cpu)" in message
    assert job.written == [photo.name for photo in of_each_size[:3]]
    assert not told


def test_a_network_that_the_gpu_s_memory_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError(GPU_IS_FULL)

    monkeypatch.setattr(Echo, "to", full)
    with pytest.raises(
        SBNetError, match=r"the network: not enough GPU memory .*: use a smaller one, or runtime.device=cpu"
    ):
        SegmenterPredictor(Echo(), runtime=Runtime(device="cpu", precision="32"))


def test_batches_of_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """One photo keeps a CPU busy, and not a GPU."""
    assert Runtime(device="cpu").images_at_once == 1
    assert Runtime(device="cpu", inference_batch=7).images_at_once == 7
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert Runtime(device="cuda").images_at_once > 1
    assert Runtime(device="cuda", inference_batch=1).images_at_once == 1


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NO_CUDA])])
def test_results_on_their_way_to_the_host(device: str) -> None:
    """As they were when the copy was begun, whatever the device is told to do after it."""
    there = to_device(torch.arange(6.0).view(2, 3), torch.device(device))
    assert there.device.type == device
    results = [to_host(there * factor) for factor in range(50)]
    for factor, result in enumerate(results):
        np.testing.assert_array_equal(result(), factor * np.arange(6.0).reshape(2, 3))
        np.testing.assert_array_equal(result(), factor * np.arange(6.0).reshape(2, 3))


def test_gradients_where_a_job_needs_them(of_each_size: list[Photo]) -> None:
    class Grad(Names):
        gradients = True

        def forward(self, batch: Batch) -> list[str]:
            pixels = batch.views[0].float().requires_grad_()
            pixels.square().sum().backward()
            assert torch.equal(pixels.grad, 2 * pixels)
            return [loaded.photo.name for loaded in batch.images]

    assert list(infer(of_each_size, Grad(), runtime=Runtime(device="cpu"))) == [
        one.name for one in of_each_size
    ]
