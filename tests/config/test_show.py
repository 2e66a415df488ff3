"""`sbnet recipes NAME`: every setting, what it is, who sets it, and the comment there."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sbnet.config import FOLDER, names
from sbnet.config.recipe import Choice, load_recipe
from sbnet.config.show import resolved
from sbnet.config.yaml_file import heading, read_values
from sbnet.errors import SBNetError

TEXT = st.text(st.characters(codec="utf-8"))
NAMES = TEXT.filter(lambda name: name.strip(". ") and "/" not in name and "\\" not in name)


def flat(values: dict[str, Any], parent: str = "") -> dict[str, Any]:
    """Dotted key -> value."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flat(value, f"{parent}{key}.") if isinstance(value, dict) else {f"{parent}{key}": value}
    return found


def defaults(name: str) -> dict[str, Any]:
    """Of the settings of the methods that a recipe chooses."""
    recipe = load_recipe(name)
    usual: dict[str, Any] = {}
    for one in dataclasses.fields(recipe):
        value = getattr(recipe, one.name)
        if isinstance(value, Choice):
            usual[one.name] = Choice(value.name, type(value.settings)())
        elif one.name not in ("name", "about", "reference"):
            usual[one.name] = type(value)()
    return flat(dataclasses.replace(recipe, reference=False, **usual).plain())


@pytest.mark.parametrize("name", names())
def test_what_is_shown_is_the_whole_recipe(name: str, tmp_path: Path) -> None:
    path = tmp_path / "shown.yaml"
    path.write_text(resolved(name), encoding="utf-8")
    assert load_recipe(path) == load_recipe(name)
    assert flat(yaml.safe_load(path.read_text(encoding="utf-8"))).keys() == defaults(name).keys()


@pytest.mark.parametrize("name", names())
def test_what_the_recipe_itself_sets_is_marked(name: str) -> None:
    """Marked are the file's own values, and what bears no name is the default."""
    file = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    shown = [line for line in resolved(name).splitlines() if not line.lstrip().startswith("#")]
    lines = [re.sub(r"^(\s*\w+:)  #.*", r"\1", line) for line in shown]  # sections, bare
    own = flat(file).keys() - {"name", "about", "base"}
    assert sum("  # *" in line for line in lines) == len(own)
    bare = flat(yaml.safe_load("\n".join(line for line in lines if "  # " not in line)))
    usual = defaults(name)
    unset = {key: value for key, value in bare.items() if key in usual.keys() - {"name", "about"}}
    assert unset.items() <= usual.items()
    assert len(unset) > 40


def test_a_base_s_values_bear_its_name_and_comments() -> None:
    shown = [" ".join(line.split()) for line in resolved("voc12-resnet38-psa").splitlines()]
    for line in (
        "method: cam # *",
        "high_alpha: 32.0 # *",
        "steps: 256 # * 2^8",
        "crop: 256 # * its code's default; 448 in SBNet's and SEAM's",
        "mask_alpha: 8.0 # voc12-resnet38: ours, for the mask that is measured",
        "head: large_fov # voc12-resnet38-seam",
        "checkpoint_every: 100",
        "scales: [0.5, 0.75, 1.0, 1.25, 1.5, 1.75] # voc12-resnet38-seam",
        "# Mean-field iterations.",  # what a setting is
    ):
        assert line in shown
    # Neither of a value that it does not have, nor of a section.
    assert not any("the code's optimizer has 0.0005" in line for line in shown)
    assert not any("bootstrap" in line for line in shown)
    paper = [" ".join(line.split()) for line in resolved("voc12-resnet38").splitlines()]
    assert any(line.startswith("# * The reference's boundary maps were never published") for line in paper)
    assert "\ncrf:  # * alphas that correspond" in resolved("voc12-resnet50-irn")


def test_a_file_of_one_s_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "# Mine.\nbase: quickstart\n\n# Why.\n# And why not.\ncrf: {low_alpha: 3, high_alpha: 30}  # both\n"
    )
    shown = resolved(str(path))
    assert shown.startswith("# Mine.\n# Behind a value: ")
    assert "\n# * Why.\n# * And why not.\ncrf:  # * both\n" in shown
    path.write_text("base: quickstart\ncrf: {low_alhpa: 3}\n")
    with pytest.raises(SBNetError, match=r"mine\.yaml, line 2: .* \(did you mean 'low_alpha'"):
        resolved(str(path))


@settings(max_examples=20)
@given(about=TEXT, name=NAMES, folder=TEXT, scales=st.lists(st.floats(0.1, 9), min_size=1, max_size=16))
def test_any_values_survive_being_shown(
    tmp_path_factory: pytest.TempPathFactory, about: str, name: str, folder: str, scales: list[float]
) -> None:
    path = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
    values = {"about": about, "name": name, "seeds.infer.scales": scales, "seeds.train.boundaries": folder}
    recipe = load_recipe("quickstart", values)
    recipe.write(path)
    assert yaml.safe_load(resolved(str(path))) == recipe.plain()


def test_comments_of_a_file(tmp_path: Path) -> None:
    text = (
        "# a\n#b\n\n# c\nx:  # d\n  # e\n  y: [1, 2]  # f # g\n  z: 'q # r'\n  w:\n  - 3\n\n  # h\n  v: 2#3\n"
    )
    path = tmp_path / "file.yaml"
    path.write_text(text)
    values, places = read_values(path)
    assert values == {"x": {"y": [1, 2], "z": "q # r", "w": [3], "v": "2#3"}}
    assert heading(text) == ["a", "b"]
    assert {key: (place.above, place.behind) for key, place in places.items()} == {
        "x": (("c",), "d"),
        "x.y": (("e",), "f # g"),
        "x.z": ((), ""),
        "x.w": ((), ""),
        "x.v": (("h",), ""),
    }
