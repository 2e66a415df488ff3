from __future__ import annotations

import io

from rich.console import Console

from sbnet.report.tables import duration, metric_rows, metrics_table, percent, points
from sbnet.steps.spec import MASKS, PSEUDO_MASKS, SCORES, Measure

MEASURES = (
    Measure("first", "First maps", SCORES),
    Measure("first_crf", "First maps + CRF", PSEUDO_MASKS),
    Measure("maps", "Maps", SCORES),
    Measure("spread", "Spread", PSEUDO_MASKS),
    Measure("out", "Out", MASKS),
)


def test_gain_is_over_the_nearest_before_on_the_same_images() -> None:
    same = {"list": "train", "images": 5}
    rows = metric_rows(
        {
            "out": {"miou": 0.60, "list": "val", "images": 5},
            "spread": {"miou": 0.55, **same},
            "maps": {"miou": 0.50, **same},
            "first_crf": {"miou": 0.49, **same},
            "first": {"miou": 0.45, **same},
        },
        MEASURES,
    )
    assert [row.measure.name for row in rows] == ["first", "first_crf", "maps", "spread", "out"]
    over = [row.over and row.over.measure.title for row in rows]
    assert over == [None, "First maps", "First maps", "Maps", None]
    assert [points(row.gain) for row in rows] == ["", "+4.0", "+5.0", "+5.0", ""]


def test_no_gain_over_other_images_or_unmeasured() -> None:
    rows = metric_rows(
        {
            "first": {"miou": 0.5, "list": "train", "images": 5},
            "first_crf": {"miou": 0.6, "list": "train", "images": 4},
            "spread": {"miou": None, "list": "train", "images": 4},
        },
        MEASURES,
    )
    assert [(row.gain, row.over) for row in rows] == [(None, None)] * 3


def test_numbers() -> None:
    assert (percent(0.4832), percent(None)) == ("48.3", "–")
    assert (points(0.031), points(-0.004), points(None)) == ("+3.1", "−0.4", "")


def test_duration() -> None:
    assert [duration(value) for value in (4.24, 200, 7500)] == ["4.2 s", "3 min 20 s", "2 h 05 min"]


def test_table_in_the_terminal() -> None:
    stream = io.StringIO()
    facts = {"list": "train", "images": 5, "pixel_accuracy": 0.8, "foreground_miou": 0.471}
    facts |= {"foreground_precision": None, "foreground_recall": None}
    made = {"maps": {"miou": 0.5, **facts}, "spread": {"miou": 0.52, **facts}}
    Console(file=stream, width=120).print(metrics_table(made, MEASURES))
    for part in ("Spread", "52.0", "47.1", "+2.0 (Maps)", "train, 5 images", "80.0", "–"):
        assert part in stream.getvalue()
