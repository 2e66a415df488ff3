"""Vision transformers under every method: trained and used through the real steps, or refused before anything runs."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sbnet.config.recipe import Recipe, load_recipe
from sbnet.data.io.files import read_label, read_scores
from sbnet.data.synthetic.scenes import make_scenes
from sbnet.errors import SBNetError
from sbnet.networks.model_file import load_model
from sbnet.pipeline import run

TINY = "timm:test_vit"  # 6 blocks of 64 channels
TRAINING = ["epochs=1", "batch=2", "crop=80", "optimizer=adamw", "learning_rate=1e-4", "layer_decay=0.9"]
SHORT = [
    *(f"backbone.{word}" for word in (f"name={TINY}", "weights=none", "stride=16", "freeze=1")),
    *("runtime.device=cpu", "runtime.precision=32", "runtime.workers=0", "seeds.infer.scales=1,1.5"),
    *(f"seeds.train.{word}" for word in (*TRAINING, "long_side=80,96")),
]
CHAIN = [
    *("seeds.train.shrink=0.5", "crf.iterations=1", "refine.train.start=seeds", "predict.scales=1"),
    *(f"{section}.{word}" for section in ("seeds.bootstrap.train", "refine.train") for word in TRAINING),
    *(f"{section}.long_side=80,96" for section in ("seeds.bootstrap.train", "refine.train")),
    *("seeds.bootstrap.train.shrink=0.5", "seeds.bootstrap.crf.iterations=1", "refine.propagate.steps=4"),
    *(f"segmenter.{word}" for word in ("method=deeplabv2", *TRAINING, "weights=none")),
]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_scenes(tmp_path_factory.mktemp("data") / "few", train=12, val=3, size=(48, 64), seed=0)


def of_transformer(scenes: Path, *words: str) -> Recipe:
    return load_recipe("quickstart", ["data.source=voc", f"data.root={scenes}", *SHORT, *words])


def losses(folder: Path) -> list[float]:
    with open(folder / "log.csv", newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


def assert_maps(folder: Path, count: int) -> None:
    files = sorted((folder / "scores").iterdir())
    assert len(files) == count
    found = [read_scores(file).scores for file in files]
    assert all(scores.shape[1:] == (48, 64) and np.isfinite(scores).all() for scores in found)
    assert max(scores.max() for scores in found) > 0.5


def test_the_whole_chain_of_sbnet_and_affinitynet(scenes: Path, tmp_path: Path) -> None:
    metrics = run(of_transformer(scenes, *CHAIN), tmp_path)
    trained = {
        "bootstrap_train_cam": "sbnet",
        "train_cam": "sbnet",
        "train_affinity": "affinitynet",
        "train_segmenter": "deeplabv2",
    }
    for step, family in trained.items():
        assert all(map(math.isfinite, losses(tmp_path / step))), step
        network, _ = load_model(tmp_path / step / "model.safetensors")
        assert network.name == f"{family}-{TINY}"
    assert_maps(tmp_path / "infer_cam", 12)
    drawn = [np.asarray(read_label(path)) for path in (tmp_path / "propagate" / "masks").iterdir()]
    assert [mask.shape for mask in drawn] == [(48, 64)] * 12
    assert len(list((tmp_path / "predict" / "masks").iterdir())) == 3
    assert {"cam", "crf", "propagation", "segmenter", "segmenter_crf"} <= metrics.keys()
    start, end = (
        load_model(tmp_path / step / "model.safetensors")[0].backbone.state_dict()
        for step in ("train_cam", "train_affinity")
    )
    frozen = [name for name in start if "blocks.0." in name or "pos_embed" in name]
    assert frozen
    assert all((start[name] == end[name]).all() for name in frozen)
    assert any((start[name] != end[name]).any() for name in start)


@pytest.mark.parametrize("method", ["cam", "seam"])
def test_maps_of_the_other_methods(method: str, scenes: Path, tmp_path: Path) -> None:
    words = ["seeds.train.shrink=0.5"] if method == "seam" else []
    run(of_transformer(scenes, f"seeds.method={method}", *words), tmp_path, stop="infer_cam")
    assert all(map(math.isfinite, losses(tmp_path / "train_cam")))
    assert load_model(tmp_path / "train_cam" / "model.safetensors")[0].name == f"{method}-{TINY}"
    assert_maps(tmp_path / "infer_cam", 12)


@pytest.mark.parametrize(
    ("choice", "key", "remedy"),
    [
        ("refine.method=irn", r"refine\.train", "another backbone"),
        ("segmenter.method=deeplabv3plus", "segmenter", "DeepLab v2"),
        ("segmenter.method=upernet", "segmenter", "DeepLab v2"),
        ("segmenter.method=segformer", "segmenter", "DeepLab v2"),
    ],
)
def test_methods_that_need_finer_features_refuse_it_before_anything_runs(
    choice: str, key: str, remedy: str, scenes: Path, tmp_path: Path
) -> None:
    recipe: Any = of_transformer(scenes, choice)
    with pytest.raises(SBNetError, match=rf"^{key}: .*requires a feature at stride 4.*{remedy}"):
        run(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()
