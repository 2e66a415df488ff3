"""Images and masks by name: whatever the suffix's case, and never one of two."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbnet.data.io.image import PHOTO_SUFFIXES
from sbnet.data.io.named_files import masks_by_name, photos_by_name
from sbnet.errors import SBNetError

STEMS = ("a", "b", "B", "c.d", "é")
SUFFIXES = (".jpg", ".JPG", ".Jpeg", ".jfif", ".png", ".PNG", ".heic", ".txt", "")


@settings(max_examples=100, deadline=None)
@given(st.sets(st.tuples(st.sampled_from(STEMS), st.sampled_from(SUFFIXES)), max_size=8))
def test_each_name_once_or_both_files_named(files: set[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for stem, suffix in files:
            (folder / f"{stem}{suffix}").touch()
        for by_name, suffixes in ((photos_by_name, PHOTO_SUFFIXES), (masks_by_name, (".png",))):
            expected = {folder / f"{stem}{suffix}" for stem, suffix in files if suffix.lower() in suffixes}
            twice = [stem for stem, count in Counter(path.stem for path in expected).items() if count > 1]
            if not twice:
                found = by_name(folder)
                assert list(found.values()) == sorted(expected)
                assert all(path.stem == stem for stem, path in found.items())
                continue
            with pytest.raises(SBNetError) as told:
                by_name(folder)
            named = [path for path in expected if f"both {path.name} and " in str(told.value)]
            named += [path for path in expected if f" and {path.name} are named" in str(told.value)]
            assert len(set(named)) == 2
            assert named[0].stem == named[1].stem


def test_a_folder_that_is_not_there_has_none(tmp_path: Path) -> None:
    assert masks_by_name(tmp_path / "none") == {}
