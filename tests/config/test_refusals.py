"""What a recipe may not hold: said at once, with file, line, value and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from sbnet.config.recipe import load_recipe
from sbnet.errors import SBNetError


def refusal(name: str | Path, *overrides: str) -> str:
    with pytest.raises(SBNetError) as error:
        load_recipe(name, overrides)
    return str(error.value)


# A recipe that is quickstart with these lines below `base:`; the line of the fault, and parts of the message.
WRONG = [
    (
        "seeds:\n  train:\n    epoch: 3\n",
        4,
        ["'seeds.train' has no setting 'epoch'", "did you mean 'epochs'"],
    ),
    ("crf: {low_alhpa: 3}\n", 2, ["'crf'", "did you mean 'low_alpha'"]),
    ("sedes: {method: cam}\n", 2, ["there is no setting 'sedes'", "did you mean 'seeds'"]),
    ("epochs: 3\n", 2, ["there is no setting 'epochs'", "'seeds.train.epochs'", "'segmenter.epochs'"]),
    ("seeds: {epochs: 3}\n", 2, ["'seeds' has no setting 'epochs'", "'seeds.train.epochs'"]),
    ("refine: {propagate: {background_score: 0.2}}\n", 2, ["no setting", "did you mean 'background_alpha'"]),
    ("seeds: {train: {epochs: three}}\n", 2, ["seeds.train.epochs is 'three'", "whole number"]),
    ("seeds: {train: {epochs: 3.5}}\n", 2, ["seeds.train.epochs is 3.5", "whole number"]),
    ("seeds: {train: {epochs: true}}\n", 2, ["seeds.train.epochs is True", "number"]),
    ("seeds: {train: {epochs: 0}}\n", 2, ["seeds.train.epochs is 0", "1"]),
    ("refine: {train: {batch: 0}}\n", 2, ["refine.train.batch is 0"]),
    ("segmenter: {accumulate: 0}\n", 2, ["segmenter.accumulate is 0"]),
    ("segmenter: {checkpoint_every: 0}\n", 2, ["segmenter.checkpoint_every is 0"]),
    ("seeds: {train: {learning_rate: 0}}\n", 2, ["seeds.train.learning_rate is 0", "greater than 0"]),
    ("seeds: {train: {learning_rate: .inf}}\n", 2, ["learning_rate is inf", "finite"]),
    ("seeds: {train: {weight_decay: -1}}\n", 2, ["weight_decay is -1"]),
    (
        "seeds: {bootstrap: {train: {momentum: 1}}}\n",
        2,
        ["seeds.bootstrap.train.momentum is 1", "less than 1"],
    ),
    ("seeds: {train: {warmup: 1}}\n", 2, ["seeds.train.warmup is 1"]),
    ("seeds: {train: {ema: 1}}\n", 2, ["seeds.train.ema is 1"]),
    ("seeds: {train: {clip: -1}}\n", 2, ["seeds.train.clip is -1"]),
    ("seeds: {train: {layer_decay: 0}}\n", 2, ["seeds.train.layer_decay is 0"]),
    ("seeds: {train: {optimizer: adam}}\n", 2, ["seeds.train.optimizer is 'adam'", "did you mean 'adamw'"]),
    ("seeds: {train: {loss_warmup: -1}}\n", 2, ["seeds.train.loss_warmup is -1"]),
    ("seeds: {train: {boundary_width: 0}}\n", 2, ["seeds.train.boundary_width is 0"]),
    ("seeds: {train: {boundary_weight: -1}}\n", 2, ["seeds.train.boundary_weight is -1"]),
    ("seeds: {train: {crop: 3}}\n", 2, ["seeds.train.crop is 3", "8"]),
    ("seeds: {train: {shrink: 0}}\n", 2, ["seeds.train.shrink is 0", "greater than 0"]),
    ("seeds: {train: {shrink: 1.5}}\n", 2, ["seeds.train.shrink is 1.5", "at most 1"]),
    (
        *("seeds: {bootstrap: {train: {shrink: 0.004, crop: 200}}}\n", 2),
        ["seeds.bootstrap.train.shrink is 0.004", "at least one of 200 pixels"],
    ),
    ("seeds: {method: seam, train: {shrink: 2}}\n", 2, ["seeds.train.shrink is 2"]),
    (
        "seeds:\n  train:\n    long_side: [9, 3]\n",
        4,
        ["seeds.train.long_side is [9, 3]", "smaller one first"],
    ),
    ("refine: {train: {long_side: [0, 3]}}\n", 2, ["refine.train.long_side is [0, 3]", "above 0"]),
    ("segmenter: {scale: [2, 1]}\n", 2, ["segmenter.scale is [2, 1]", "smaller one first"]),
    ("seeds: {method: sbent}\n", 2, ["seeds.method", "'sbent'", "did you mean 'sbnet'", "cam_files"]),
    ("refine: {method: irm}\n", 2, ["refine.method", "'irm'", "did you mean 'irn'", "mask_files"]),
    ("refine: {method: cam}\n", 2, ["refine.method is 'cam'", "for `seeds`", "irn"]),
    ("refine: {train: {start: imagenets}}\n", 2, ["refine.train.start", "did you mean 'imagenet'"]),
    ("segmenter: {labels: pseudos}\n", 2, ["segmenter.labels", "did you mean 'pseudo'"]),
    ("segmenter: {freeze: -2}\n", 2, ["segmenter.freeze is -2"]),
    ("segmenter: {head_rate: 0}\n", 2, ["segmenter.head_rate is 0"]),
    ("segmenter: {method: upernet, channels: -1}\n", 2, ["segmenter.channels is -1"]),
    ("segmenter: {method: upernet, channels: 100000}\n", 2, ["segmenter.channels is 100000", "65536"]),
    ("segmenter: {scales: [0.5, 1]}\n", 2, ["segmenter.scales is [0.5, 1]", "0.05 to 4", "the first 1"]),
    ("segmenter: {scales: [1, 9]}\n", 2, ["segmenter.scales is [1, 9]", "0.05 to 4"]),
    (f"segmenter: {{scales: {[1] * 17}}}\n", 2, ["segmenter.scales is [1", "at most 16"]),
    ("predict: {scales: [1.0e+200]}\n", 2, ["predict.scales is 1e+200", "16"]),
    ("predict: {scales: [0]}\n", 2, ["predict.scales is 0", "greater than 0"]),
    ("predict: {scales: []}\n", 2, ["predict.scales is []", "at least 1"]),
    ("predict: {scales: [true]}\n", 2, ["predict.scales", "not true or false"]),
    ("predict: {scales: [1, x]}\n", 2, ["predict.scales is 'x'", "number"]),
    (f"predict: {{scales: [1{'0' * 400}]}}\n", 2, ["predict.scales is 1000", "...", "number"]),
    (f"seeds: {{infer: {{scales: {[1] * 17}}}}}\n", 2, ["seeds.infer.scales is [1, 1", "at most 16"]),
    ("crf: {low_alpha: 0}\n", 2, ["crf.low_alpha is 0", "greater than 0"]),
    ("crf: {score_power: -1}\n", 2, ["crf.score_power is -1"]),
    ("seeds: {bootstrap: {crf: {mask_alpha: 0}}}\n", 2, ["seeds.bootstrap.crf.mask_alpha is 0"]),
    ("crf: {low_alpha: 9, high_alpha: 8}\n", 2, ["crf.high_alpha is 8", "low_alpha, 9, or more"]),
    ("crf: {iterations: 9999}\n", 2, ["crf.iterations is 9999", "1000"]),
    ("predict: {iterations: -1}\n", 2, ["predict.iterations is -1"]),
    ("crf: {gaussian: [3, 1.0e+38]}\n", 2, ["crf.gaussian is 1e+38", "1000000"]),
    ("crf: {gaussian: [3, -1]}\n", 2, ["crf.gaussian is -1"]),
    ("crf: {gaussian: [.nan, 1]}\n", 2, ["crf.gaussian is nan", "finite"]),
    ("predict: {bilateral: [9, 0.1, 1]}\n", 2, ["predict.bilateral is 0.1", "0.5"]),
    ("predict: {bilateral: [9, 1]}\n", 2, ["predict.bilateral has 2", "3 numbers"]),
    ("predict: {bilateral: [9, 1, 2, 3]}\n", 2, ["predict.bilateral is [9, 1, 2, 3]", "at most 3"]),
    ("predict: {mirror: 2}\n", 2, ["predict.mirror is 2"]),
    ("predict: {mirror: null}\n", 2, ["predict.mirror is None"]),
    ("refine: {propagate: {scale: 0}}\n", 2, ["refine.propagate.scale is 0"]),
    ("refine: {propagate: {steps: -1}}\n", 2, ["refine.propagate.steps is -1"]),
    ("refine: {propagate: {beta: 0}}\n", 2, ["refine.propagate.beta is 0"]),
    ("refine: {propagate: {background_alpha: 0}}\n", 2, ["refine.propagate.background_alpha is 0"]),
    ("refine: {method: irn, propagate: {background_score: 2}}\n", 2, ["background_score is 2", "1"]),
    ("runtime: {device: gpu}\n", 2, ["runtime.device is 'gpu'", "'auto'", "'cuda'"]),
    ("runtime: {workers: -7}\n", 2, ["runtime.workers is -7", "-1"]),
    ("runtime: {inference_batch: -1}\n", 2, ["runtime.inference_batch is -1"]),
    ("runtime: {seed: 9223372036854775808}\n", 2, ["runtime.seed is 9223372036854775808"]),
    ("data: {seed: -1}\n", 2, ["data.seed is -1"]),
    ("data: {train: 0}\n", 2, ["data.train is 0"]),
    ("data: {white_level: -1}\n", 2, ["data.white_level is -1"]),
    ("data: {source: cocoa}\n", 2, ["data.source", "'cocoa'", "did you mean 'coco'", "scenes"]),
    ("backbone:\n\n  stride: 3\n", 4, ["backbone.stride is 3", "4"]),
    ("backbone: {freeze: -1}\n", 2, ["backbone.freeze is -1"]),
    ("backbone: {name: true}\n", 2, ["backbone.name is True", "text"]),
    ("reference: maybe\n", 2, ["reference is 'maybe'", "true or false"]),
    ("name: [1]\n", 2, ["name is [1]", "text"]),
    ("crf: 3\n", 2, ["crf is 3", "settings such as 'low_alpha'"]),
    ("name: a/b\n", 2, ["name is 'a/b'", "folder"]),
    ("seeds: 3\n", 2, ["seeds is 3", "settings such as 'method'"]),
    ("seeds: {train: 3}\n", 2, ["seeds.train is 3", "settings such as 'epochs'"]),
    ("crf:\n  low_alpha: 3\n  low_alpha: 4\n", 4, ["'crf.low_alpha' is set twice"]),
    ("3: x\n", 2, ["key", "quotes"]),
    ("crf: {1: 2}\n", 2, ["key", "quotes"]),
    ("a: [\n", 3, ["not valid YAML"]),
]


@pytest.mark.parametrize(("text", "line", "parts"), WRONG, ids=[text[:50].strip() for text, *_ in WRONG])
def test_a_wrong_value_is_refused_with_its_line(
    text: str, line: int, parts: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"base: quickstart\n{text}")
    message = refusal(file)
    assert message.startswith(f"{file}, line {line}: ")
    for part in parts:
        assert part in message
    assert len(message) < 500 + len(str(file))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n", "consists of 'key: value' lines"),
        ("", "consists of 'key: value' lines"),
        ("base: quickstrat\n", "there is no recipe 'quickstrat' (did you mean 'quickstart'?)"),
        ("base: 3\n", "line 1: base is 3; expected a recipe's name or path"),
        ("base: mine.yaml\n", "the recipe is its own base"),
        ("\0", "not valid YAML"),
    ],
)
def test_a_file_that_is_no_recipe(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    refused = refusal(file)
    assert message in refused
    assert str(file) in refused or "quickstrat" in message


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("epochs", "'epochs' is not a setting; write KEY=VALUE"),
        ("=3", "'=3' is not a setting; write KEY=VALUE"),
        ("seeds..epochs=3", "'seeds..epochs=3' is not a setting; write KEY=VALUE"),
        ("/", "'/' is not a setting; a folder of images is given as --data /"),
        ("seeds.train.epoch=3", "'seeds.train.epoch=3': 'seeds.train' has no setting 'epoch' (did you mean"),
        ("seeds.train.epochs.x=3", "'seeds.train.epochs.x=3': 'epochs' is one value"),
        ("seeds.train=3", "'seeds.train=3': seeds.train is '3'; expected settings"),
        ("seeds=3", "'seeds=3': seeds is '3'; expected settings"),
        ("model.weights=x", "'model.weights=x': there is no setting 'model'"),
        ("crop=3", "'seeds.train.crop'"),
        ("seeds.train.epochs=", "seeds.train.epochs is ''; expected"),
    ],
)
def test_a_wrong_override_is_refused(override: str, message: str) -> None:
    assert message in refusal("quickstart", override)


def test_unknown_recipes(tmp_path: Path) -> None:
    assert "(did you mean 'voc12-lite'?)" in refusal("voc12-light")
    assert "no such recipe file" in refusal(tmp_path / "none.yaml")
    assert "not a run folder" in refusal(tmp_path)
