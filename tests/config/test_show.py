"""`sbnet recipes NAME`: every setting, who sets it, and the comment there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from sbnet.config.convert import plain

from sbnet.config import FOLDER, names
from sbnet.config.comments import comments, heading
from sbnet.config.recipe import Recipe, load_recipe
from sbnet.config.show import resolved
from sbnet.errors import SBNetError


def flat(values: dict[str, Any], parent: str = "") -> dict[str, Any]:
    """Dotted key -> value."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flat(value, f"{parent}{key}.") if isinstance(value, dict) else {f"{parent}{key}": value}
    return found


DEFAULTS = flat(plain(Recipe("x")))


@pytest.mark.parametrize("name", names())
def test_what_is_shown_is_the_whole_recipe(name: str, tmp_path: Path) -> None:
    path = tmp_path / "shown.yaml"
    path.write_text(resolved(name), encoding="utf-8")
    assert load_recipe(path, ["data.root=x"]) == load_recipe(name, ["data.root=x"])
    assert flat(yaml.safe_load(path.read_text(encoding="utf-8"))).keys() == DEFAULTS.keys()


@pytest.mark.parametrize("name", names())
def test_what_the_recipe_itself_sets_is_marked(name: str) -> None:
    """Marked are the file's own values, and what bears no name is the default."""
    file = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    lines = [
        re.sub(r"^(\s*\w+:)  #.*", r"\1", line) for line in resolved(name).splitlines()
    ]  # sections, bare
    own = flat(file).keys() - {"name", "about", "base"}
    assert sum("  # *" in line for line in lines) == len(own)
    bare = flat(yaml.safe_load("\n".join(line for line in lines if "  # " not in line)))
    unset = {key: value for key, value in bare.items() if key in DEFAULTS.keys() - {"name", "about"}}
    assert unset.items() <= DEFAULTS.items()
    assert len(unset) > 40


def test_a_base_s_values_bear_its_name_and_comments() -> None:
    shown = [" ".join(line.split()) for line in resolved("voc12-resnet38-psa").splitlines()]
    for line in (
        "high_alpha: 32.0 # *",
        "steps: 256 # * 2^8",
        "crop: 256 # * the default of its code; SBNet's and SEAM's is 448",
        "mask_alpha: 8.0 # voc12-resnet38: ours: a mask to measure",
        "head: large_fov # voc12-resnet38-seam",
        "checkpoint_every: 100",
        "high_alpha: 32.0 # as refine",
        "scales: [0.5, 0.75, 1.0, 1.25, 1.5, 1.75] # voc12-resnet38-seam",
    ):
        assert line in shown
    base = "# voc12-resnet38: The reference reads its boundary maps from"
    assert any(line.startswith(base) for line in shown)
    assert not any(
        "the code's optimiser has 0.0005" in line for line in shown
    )  # of the value that it has not


def test_a_file_of_one_s_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "# Mine.\nbase: quickstart\n\n# Why.\n# And why not.\nrefine: {low_alpha: 3, high_alpha: 30}  # both\n"
    )
    shown = resolved(str(path))
    assert shown.startswith("# Mine.\n# Behind a value: ")
    assert "\n# * Why.\n# * And why not.\nrefine:  # * both\n  low_alpha: 3.0 " in shown
    path.write_text("refine: {low_alhpa: 3}\n")
    with pytest.raises(SBNetError, match=r"mine\.yaml, line 1: .* \(did you mean 'low_alpha'"):
        resolved(str(path))


@given(
    about=st.text(st.characters(codec="utf-8")),
    name=st.text(st.characters(codec="utf-8")),
    folder=st.text(st.characters(codec="utf-8")),
    scales=st.lists(st.floats(0.1, 9), min_size=1, max_size=16),
)
def test_any_values_survive_being_shown(
    tmp_path_factory: pytest.TempPathFactory, about: str, name: str, folder: str, scales: list[float]
) -> None:
    path = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
    values = {"about": about, "name": name, "infer_cam.scales": scales, "random_walk.masks": folder}
    recipe = load_recipe("quickstart", values)
    recipe.write(path)
    assert yaml.safe_load(resolved(str(path))) == plain(recipe)


def test_comments_of_a_file() -> None:
    text = (
        "# a\n#b\n\n# c\nx:  # d\n  # e\n  y: [1, 2]  # f # g\n  z: 'q # r'\n  w:\n  - 3\n\n  # h\n  v: 2#3\n"
    )
    found = comments(text)
    assert heading(text) == ["a", "b"]
    assert {key: tuple(one) for key, one in found.items()} == {
        "x": (("c",), "d"),
        "x.y": (("e",), "f # g"),
        "x.z": ((), ""),
        "x.w": ((), ""),
        "x.v": (("h",), ""),
    }
    assert comments("") == {}
