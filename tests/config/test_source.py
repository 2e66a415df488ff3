"""Recipe files: bases, anchors, and what a changed method leaves of its base's settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from sbnet.config.recipe import Recipe, load_recipe
from sbnet.errors import SBNetError
from sbnet.settings import Settings


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    return tmp_path / "mine.yaml"


def written(file: Path, text: str, *overrides: str) -> Recipe:
    file.write_text(text)
    return load_recipe(file, overrides)


def refused(file: Path, text: str, *overrides: str) -> str:
    with pytest.raises(SBNetError) as error:
        written(file, text, *overrides)
    return str(error.value)


def test_a_base_gives_what_the_file_leaves_out(recipe_file: Path) -> None:
    base = load_recipe("quickstart")
    recipe = written(recipe_file, "base: quickstart\nseeds:\n  train:\n    epochs: 99\n")
    assert (recipe.name, recipe.about) == ("mine", "")
    train, before = recipe.seeds.settings.train, base.seeds.settings.train
    assert train.epochs == 99
    assert train.crop == before.crop
    assert recipe.seeds.settings.infer == base.seeds.settings.infer
    second = written(
        recipe_file.with_name("second.yaml"), "base: mine.yaml\nseeds: {train: {crop: 96, shrink: 0.5}}\n"
    )
    assert (second.seeds.settings.train.epochs, second.seeds.settings.train.crop) == (99, 96)


def test_a_recipe_without_base_names_its_methods_and_starts_from_the_defaults(recipe_file: Path) -> None:
    text = "data: {source: scenes}\nseeds: {method: sbnet}\nrefine: {method: none}\n"
    recipe = written(recipe_file, f"{text}segmenter: {{method: deeplabv2}}\n")
    assert recipe.seeds.settings == type(recipe.seeds.settings)()
    assert recipe.refine.settings == Settings()
    assert recipe.seeds.settings.bootstrap.train.consistency
    message = refused(recipe_file, text)
    assert "segmenter.method is required" in message
    assert "deeplabv2, deeplabv3plus" in message
    assert "sbnet" not in message


def test_an_error_in_the_base_names_the_base(recipe_file: Path) -> None:
    recipe_file.write_text("base: quickstart\n\ncrf: {iterations: -1}\n")
    child = recipe_file.with_name("child.yaml")
    assert refused(child, "base: mine.yaml\n").startswith(f"{recipe_file}, line 3: ")


def test_an_anchor_s_values_are_separate(recipe_file: Path) -> None:
    text = (
        "base: quickstart\nseeds:\n  bootstrap:\n    crf: &crf\n      low_alpha: 3\n      high_alpha: 30\n"
        "crf: *crf\n"
    )
    recipe = written(recipe_file, text, "crf.low_alpha=5")
    assert (recipe.crf.low_alpha, recipe.crf.high_alpha) == (5, 30)
    assert recipe.seeds.settings.bootstrap.crf.low_alpha == 3
    merged = written(recipe_file, text.replace("crf: *crf", "crf: {<<: *crf, high_alpha: 40}"))
    assert (merged.crf.low_alpha, merged.crf.high_alpha) == (3, 40)
    message = refused(recipe_file, text.replace("high_alpha: 30", "high_alhpa: 30"))
    assert message.startswith(f"{recipe_file}, line 6: 'crf' has no setting")
    assert "'high_alpha'" in message


@pytest.mark.parametrize("name", ["quickstart", "voc12-lite", "voc12-resnet38"])
def test_the_packaged_recipes_bootstrap_has_the_crf_of_the_others(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.seeds.settings.bootstrap.crf == recipe.crf
    changed = load_recipe(name, ["crf.mask_alpha=7"])
    assert changed.seeds == recipe.seeds


@pytest.mark.parametrize("text", ["seeds: &a {train: *a}\n", "crf: &a {low_alpha: *a}\n", "x: &a {a: *a}\n"])
def test_an_anchor_within_itself_is_refused(text: str, recipe_file: Path) -> None:
    message = refused(recipe_file, text)
    assert message.startswith(f"{recipe_file}, line 1: ")
    assert "anchor" in message


def test_another_method_drops_what_it_lacks_of_the_base_alone(recipe_file: Path) -> None:
    base = load_recipe("quickstart").seeds.settings
    recipe = written(recipe_file, "base: quickstart\nseeds: {method: cam, train: {epochs: 9}}\n")
    train = recipe.seeds.settings.train
    assert (train.epochs, train.batch, train.crop) == (9, base.train.batch, base.train.crop)
    assert recipe.seeds.settings.infer.scales == base.infer.scales
    assert "bootstrap" not in recipe.plain()["seeds"]
    from_irn = load_recipe("voc12-lite-irn", ["refine.method=affinitynet"]).refine.settings
    assert (from_irn.propagate.beta, from_irn.propagate.background_alpha) == (10, 12)


@pytest.mark.parametrize(
    "own",
    ["train: {boundary_weight: 0.5}", "train: {smoothness_weight: 0.3}", "bootstrap: {train: {epochs: 4}}"],
)
def test_what_another_method_lacks_is_refused_where_it_is_set_beside_it(own: str, recipe_file: Path) -> None:
    """Also where the base has the same value."""
    message = refused(recipe_file, f"base: quickstart\nseeds:\n  method: seam\n  {own}\n")
    assert message.startswith(f"{recipe_file}, line 4: ")
    assert "has no setting" in message
    key = own.replace(": {", ".").replace(": ", "=").rstrip("}")
    override = f"seeds.{key}"
    for given in (("seeds.method=seam", override), (override, "seeds.method=seam")):
        message = refused(recipe_file, "base: quickstart\n", *given)
        assert message.startswith(f"'{override}': 'seeds")
        assert "has no setting" in message


def test_a_file_above_the_change_may_not_set_it_either(recipe_file: Path) -> None:
    recipe_file.write_text("base: quickstart\nseeds: {method: cam}\n")
    child = recipe_file.with_name("child.yaml")
    text = "base: mine.yaml\nseeds:\n  train:\n    boundary_weight: 1\n"
    assert refused(child, text).startswith(f"{child}, line 4: ")
    back = written(child, "base: mine.yaml\nseeds: {method: sbnet}\n")
    assert back.seeds == load_recipe("quickstart").seeds


def test_the_same_method_again_drops_nothing(recipe_file: Path) -> None:
    recipe = written(
        recipe_file, "base: voc12-lite\nseeds: {method: sbnet}\ndata: {source: voc}\n", "data.root=x"
    )
    base = load_recipe("voc12-lite", ["data.root=x"])
    assert (recipe.seeds, recipe.data) == (base.seeds, base.data)


def test_another_data_set_keeps_only_what_is_set_with_it(recipe_file: Path) -> None:
    """Even where the base has the same value."""
    recipe_file.write_text("base: voc12-lite\ndata: {root: here, train: some, white_level: 9}\n")
    changed = load_recipe(recipe_file, ["data.source=coco", "data.root=here"]).data
    assert changed.name == "coco"
    assert (changed.settings.root, changed.settings.white_level) == ("here", 0)
    assert changed.settings.train != "some"


def test_unreadable_files(recipe_file: Path) -> None:
    recipe_file.write_bytes(b"about: \xff\n")
    with pytest.raises(SBNetError, match=r"mine\.yaml.*UTF-8"):
        load_recipe(recipe_file)
