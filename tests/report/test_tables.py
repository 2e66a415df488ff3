from __future__ import annotations

import io

from rich.console import Console

from sbnet.report import metrics_table
from sbnet.report.tables import metric_rows, percent, points


def test_gain_is_over_the_stage_before_on_the_same_photos() -> None:
    same = {"list": "train", "photos": 5}
    rows = metric_rows(
        {
            "segmenter": {"miou": 0.60, "list": "val", "photos": 5},
            "random_walk": {"miou": 0.55, **same},
            "cam": {"miou": 0.50, **same},
            "bootstrap_cam": {"miou": 0.45, **same},
        }
    )
    assert [row.stage for row in rows] == ["bootstrap_cam", "cam", "random_walk", "segmenter"]
    assert [row.over for row in rows] == [None, "Bootstrap CAM", "CAM", None]
    assert [points(row.gain) for row in rows] == ["", "+5.0", "+5.0", ""]


def test_no_gain_over_other_photos_or_unmeasured() -> None:
    rows = metric_rows(
        {
            "cam": {"miou": 0.5, "list": "train", "photos": 5},
            "refine": {"miou": 0.6, "list": "train", "photos": 4},
            "random_walk": {"miou": None, "list": "train", "photos": 4},
        }
    )
    assert [row.gain for row in rows] == [None, None, None]


def test_numbers() -> None:
    assert (percent(0.4832), percent(None)) == ("48.3", "–")
    assert (points(0.031), points(-0.004), points(None)) == ("+3.1", "−0.4", "")


def test_table_in_the_terminal() -> None:
    stream = io.StringIO()
    facts = {"list": "train", "photos": 5, "pixel_accuracy": 0.8, "foreground_precision": None}
    table = metrics_table({"cam": {"miou": 0.5, **facts}, "refine": {"miou": 0.52, **facts}})
    Console(file=stream, width=120).print(table)
    text = stream.getvalue()
    for part in ("CAM + CRF", "52.0", "+2.0 (CAM)", "train, 5 photos", "80.0", "–"):
        assert part in text
