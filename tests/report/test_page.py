from __future__ import annotations

import json
import re
from pathlib import Path

from PIL import Image

from sbnet.data.datasets.collection import Collection, Photo
from sbnet.report import write_report


def test_whole_run(run: Path, train: Collection, val: Collection) -> None:
    path = write_report(run, train=train, val=val)
    assert path == run / "report.html"
    page = path.read_text(encoding="utf-8")
    for text in (
        "three photos",
        "+6.0",
        "−1.0",
        "over CAM",
        "costs 6.0 points",
        "1 min 05 s",
        "left out",
        "Losses",
    ):
        assert text in page, text
    assert page.count("<img src=") == 3 * 9 + 2 * 4
    assert 'class="broken"' not in page
    assert 'class="none"' not in page
    assert "mIoU 100" in page
    assert page.count("<svg") == page.count("</svg>") == 2


def test_needs_no_other_file(run: Path, train: Collection, val: Collection) -> None:
    page = write_report(run, train=train, val=val).read_text(encoding="utf-8")
    addresses = re.findall(r'(?:src|href|xlink:href)="([^"]*)"', page) + re.findall(r"url\(([^)]*)\)", page)
    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert "@import" not in page
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))


def test_text_is_escaped(run: Path, train: Collection, val: Collection) -> None:
    log = run / "train_cam" / "log.csv"
    log.write_text(log.read_text(encoding="utf-8").replace(",class", ",<i>term</i>"))
    page = write_report(run, train=train, val=val).read_text(encoding="utf-8")
    assert "tiny &amp; &lt;b&gt;bold" in page
    assert not {"<b>", "<dog>", "<i>term"} & set(re.findall(r"<[a-z]+>(?:term)?", page))


def test_title(run: Path, train: Collection) -> None:
    assert "<h1>Cats</h1>" in write_report(run, train=train, val=None, title="Cats").read_text(
        encoding="utf-8"
    )


def test_empty_run(tmp_path: Path, train: Collection) -> None:
    page = write_report(tmp_path / "fresh", train=train, val=None).read_text(encoding="utf-8")
    assert "Nothing measured" in page
    assert "None begun" in page
    assert page.count("<img src=") == 3 * 2  # photo and ground truth


def test_half_done_steps(run: Path, train: Collection, val: Collection) -> None:
    (run / "refine/done.json").unlink()
    (run / "refine/masks/train1.png").unlink()
    (run / "random_walk/masks/train1.png").unlink()
    page = write_report(run, train=train, val=val).read_text(encoding="utf-8")
    assert "under way, 3 photos" in page
    assert page.count('<td class="none">-</td>') == 2


def test_broken_inputs_are_named(run: Path, train: Collection, val: Collection) -> None:
    (run / "metrics.json").write_text('{"cam": ')
    (run / "recipe.yaml").write_text("name: [")
    (run / "random_walk/done.json").write_text("")
    log = run / "train_cam/log.csv"
    log.write_text(log.read_text(encoding="utf-8") + "9,1,0.1,9\nnot,a,row,of,the,log\n10,1,0.")
    (run / "infer_cam/scores/train0.npz").write_bytes(b"PK broken")
    (run / "refine/labels/train0.png").write_bytes(b"")
    (run / "refine/masks/train0.png").write_bytes((run / "refine/masks/train0.png").read_bytes()[:60])
    Path(str(train.photos[1].path)).write_bytes(b"no photo")
    Image.new("L", (3, 3)).save(str(val.photos[0].mask))
    page = write_report(run, train=train, val=val).read_text(encoding="utf-8")
    assert "run/metrics.json cannot be read" in page
    assert "recipe.yaml cannot be read" in page
    assert page.count('class="broken"') == 3 + 1 + 1
    assert "step 8" in page


def test_boundary_labels_from_elsewhere(run: Path, train: Collection) -> None:
    (run / "bootstrap_refine/labels").rename(run.parent / "{elsewhere}")
    assert "Boundary map" not in write_report(run, train=train, val=None).read_text(encoding="utf-8")
    settings = {"boundaries": str(run.parent / "{elsewhere}"), "boundary_maker": "window"}
    (run / "train_cam/state.json").write_text(json.dumps({"settings": settings}))
    page = write_report(run, train=train, val=None).read_text(encoding="utf-8")
    assert page.count('alt="Boundary map of') == 3


def test_metrics_of_odd_shapes(run: Path, train: Collection) -> None:
    odd = '{"cam": {"miou": NaN, "curve": "x", "per_class": 3}, "mine": {"miou": 0.5}, "n": 1}'
    (run / "metrics.json").write_text(odd)
    page = write_report(run, train=train, val=None).read_text(encoding="utf-8")
    assert "mine" in page
    assert "Where the CAMs are cut" not in page


def test_photo_of_one_pixel_and_no_truth(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "dot.png"
    Image.new("RGB", (1, 1)).save(path)
    Image.new("P", (1, 1)).save(run / "bootstrap_refine/labels/dot.png")
    dot = Collection(("background", "cat"), (Photo("dot", path, (1,)),), "dot")
    page = write_report(run, train=dot, val=None).read_text(encoding="utf-8")
    assert page.count("<img src=") == 2
    assert "Ground truth<small>" not in page


def test_without_true_masks_nothing_speaks_of_figures(run: Path, train: Collection) -> None:
    bare = Collection(
        train.classes, tuple(Photo(one.name, one.path, one.classes) for one in train), train.name
    )
    (run / "metrics.json").write_text("{}")
    page = write_report(run, train=bare, val=None).read_text(encoding="utf-8")
    assert "no photo of this run has a true mask" in page
    assert f"call sbnet evaluate {run}, which trains nothing" in page
    assert "with this recipe on other photos, not in this run: three photos" in page
    assert page.count("mIoU") == 1  # the section's title
    assert "measured</small>" not in page
    (run / "metrics.json").unlink()
    assert "no step that can be is done yet" in write_report(run, train=train, val=None).read_text(
        encoding="utf-8"
    )
