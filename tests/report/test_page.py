from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from report.conftest import measured, step, steps, written
from sbnet.data.datasets.collection import Collection, Photo
from sbnet.data.io.files import write_label
from sbnet.errors import SBNetError
from sbnet.report.page import TERMS
from sbnet.steps.spec import MASKS, Measure, Picture


def test_whole_run(run: Path, train: Collection, val: Collection) -> None:
    page = written(run, train, val)
    assert (run / "report.html").is_file()
    for text in ("+6.0", "−1.0", "over Maps", "6.0 points less", "1 min 05 s", "ignored", "Losses", "32.1"):
        assert text in page, text
    assert page.count("<img src=") == 3 * 8 + 2 * 4
    assert 'class="broken"' not in page
    assert 'class="none"' not in page
    assert "IoU 100" in page
    assert "scores above 0.20" in page
    assert page.count("<svg") == page.count("</svg>") == 2


def test_columns_follow_the_steps(run: Path, train: Collection, val: Collection) -> None:
    page = written(run, train, val)
    titles = re.findall(r"<th>([^<]*)<small>", page)
    assert titles == [
        *("Image", "Lines", "Edges", "Maps", "Seeds", "Cut", "Spread", "Ground truth"),
        *("Image", "Out", "Out + CRF", "Ground truth"),
    ]


def test_terms_are_explained_and_the_recipes_figures_stay_with_it(run: Path, train: Collection) -> None:
    page = written(run, train)
    assert all(term in page for term in TERMS)
    assert page.index("<h2>Recipe</h2>") < page.index("77.7")
    assert page.count("77.7") == 2  # its description and its text
    assert "photo" not in re.sub(r"base64,[^\"]*", "", page).lower()


def test_needs_no_other_file(run: Path, train: Collection, val: Collection) -> None:
    page = written(run, train, val)
    addresses = re.findall(r'(?:src|href|xlink:href)="([^"]*)"', page) + re.findall(r"url\(([^)]*)\)", page)
    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert "@import" not in page
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))


def test_text_is_escaped(run: Path, train: Collection, val: Collection) -> None:
    log = run / "learn" / "log.csv"
    log.write_text(log.read_text(encoding="utf-8").replace(",class", ",<i>term</i>"))
    shout = step("cut", "<u>cut</u>", pictures=(Picture("<u>", "<u>", "masks/{}.png", "mask"),))
    page = written(run, train, val, steps=[*steps(), shout])
    assert "tiny &amp; &lt;b&gt;bold" in page
    assert not {"<b>", "<dog>", "<i>term", "<u>"} & set(re.findall(r"<[a-z]+>(?:term)?", page))


def test_empty_run(tmp_path: Path, train: Collection, val: Collection) -> None:
    page = written(tmp_path / "fresh", train, val, metrics={})
    assert "Nothing measured" in page
    assert "None started" in page
    assert page.count("<img src=") == 3 * 2  # image and ground truth


def test_half_done_steps(run: Path, train: Collection, val: Collection) -> None:
    (run / "cut/done.json").unlink()
    (run / "cut/masks/train1.png").unlink()
    (run / "spread/masks/train1.png").unlink()
    page = written(run, train, val)
    assert "in progress, 3 images" in page
    assert page.count('<td class="none">-</td>') == 2


def test_broken_inputs_are_named(run: Path, train: Collection, val: Collection) -> None:
    (run / "spread/done.json").write_text("")
    log = run / "learn/log.csv"
    log.write_text(log.read_text(encoding="utf-8") + "9,1,0.1,9\nnot,a,row,of,the,log\n10,1,0.")
    (run / "maps/scores/train0.npz").write_bytes(b"PK broken")
    (run / "cut/seeds/train0.png").write_bytes(b"")
    (run / "cut/masks/train0.png").write_bytes((run / "cut/masks/train0.png").read_bytes()[:60])
    train.photos[1].path.write_bytes(b"no image")
    Image.new("L", (3, 3)).save(str(val.photos[0].mask))
    page = written(run, train, val)
    assert page.count('class="broken"') == 4 + 1 + 1  # the seeds are read twice
    assert "step 8" in page


@pytest.mark.parametrize(("draw", "options"), [("hot", {}), ("mask", {"hue": 3})])
def test_a_wrong_picture_of_a_plug_in_stops_no_page(
    run: Path, train: Collection, draw: str, options: dict[str, int]
) -> None:
    odd = step("cut", pictures=(Picture("Odd", "", "masks/{}.png", draw, options=options),))
    page = written(run, train, steps=[*steps(), odd])
    assert page.count('class="broken"') == 3
    assert {"hot": "&#39;hot&#39; is not one of heat, ", "mask": "hue"}[draw] in page


def test_pictures_from_a_folder_outside_the_run(run: Path, train: Collection) -> None:
    outside = run.parent / "{}lsewhere"
    (run / "cut/seeds").rename(outside)
    assert ">Lines<" not in written(run, train)
    elsewhere = steps(f"{outside}/{{}}.png", read="", maker="window")
    assert written(run, train, steps=elsewhere).count('alt="Lines of') == 3


def test_a_picture_of_an_input_that_no_step_provides_is_left_out(run: Path, train: Collection) -> None:
    assert ">Lines<" in written(run, train)
    assert ">Lines<" not in written(run, train, inputs={one.name: {} for one in steps()})


def test_without_a_known_pixel_no_curve_is_drawn(run: Path, train: Collection) -> None:
    unknown = measured(None, "train", thresholds=[0.1], curve=[None], setting=0.1, miou_at_setting=None)
    page = written(run, train, metrics={"maps": unknown})
    assert "<td>Maps</td>" in page
    assert "Background thresholds" not in page


def test_a_curve_for_each_measure_of_score_maps(run: Path, train: Collection) -> None:
    curve = {"thresholds": [0, 0.5], "curve": [0.2, 0.4], "setting": 0.5, "miou_at_setting": 0.4}
    facts = measured(0.4, "train", **curve)
    names = [f"maps{index}" for index in range(5)]
    maps = steps()[1]
    made = [replace(maps, measures=tuple(replace(maps.measures[0], name=n, title=n.title()) for n in names))]
    page = written(run, train, steps=made, metrics=dict.fromkeys(names, facts))
    assert all(f"Maps{index}: best 40.0" in page for index in range(5))
    assert 'class="broken"' not in page


def test_image_of_one_pixel_and_no_truth(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "dot.png"
    Image.new("RGB", (1, 1)).save(path)
    Image.new("P", (1, 1)).save(run / "cut/seeds/dot.png")
    dot = Collection(("background", "cat"), (Photo("dot", path, (1,)),), "dot")
    page = written(run, dot)
    assert page.count("<img src=") == 3  # the image, lines and seeds
    assert "Ground truth<small>" not in page


def test_without_ground_truth_nothing_speaks_of_figures(run: Path, train: Collection) -> None:
    bare = Collection(
        train.classes, tuple(Photo(one.name, one.path, one.classes) for one in train), train.name
    )
    page = written(run, bare, metrics={})
    assert "no image of this run has ground truth" in page
    assert f"run sbnet evaluate {run}; nothing is trained again" in page
    assert "Under a mask" not in page
    assert "no step with a measurable result is done" in written(run, train, metrics={})


def test_a_mask_that_misses_every_object_does_not_look_good(run: Path, val: Collection) -> None:
    for image in val:
        write_label(run / f"out/masks/{image.name}.png", np.zeros(image.size(), np.uint8))
    blind = step("out", images="val", measures=(Measure("out", "Out", MASKS),), pictures=steps()[-1].pictures)
    notes = re.findall(r"(?<=>)IoU (\d+)", written(run, val, val, steps=[blind]))
    assert notes == ["0", "100", "0", "100"]


def test_importing_the_report_loads_nothing_heavy() -> None:
    code = (
        "import sys; from sbnet.report import tables\n"
        "assert not {'torch', 'matplotlib', 'jinja2', 'numpy', 'sbnet.steps.spec'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unwritable_page_is_refused(run: Path, train: Collection) -> None:
    (run / "report.html").mkdir()
    with pytest.raises(SBNetError, match=r"report\.html"):
        written(run, train)
