from __future__ import annotations

from typing import Any

import numpy as np

from sbnet.report.charts import smooth, threshold_curve
from sbnet.steps.spec import SCORES, Measure


def test_smoothing_is_bounded_and_keeps_the_mean() -> None:
    step = np.arange(10_000.0)
    values = np.where(step % 2 == 0, 1.0, 3.0)
    values[17] = np.nan
    places, raw, average = smooth(step, values)
    assert len(places) == len(raw) == len(average) <= 300
    np.testing.assert_allclose(average, 2.0, atol=0.02)
    assert [part.tolist() for part in smooth(np.array([4.0]), np.array([0.5]))] == [[4.0], [0.5], [0.5]]


def test_threshold_curve() -> None:
    facts: dict[str, Any] = {"thresholds": [0, 0.5], "setting": 0, "miou_at_setting": 0.2}
    maps = Measure("maps", "Maps", SCORES)
    curve = threshold_curve(maps, facts | {"curve": [0.2, 0.4]})
    assert curve is not None
    assert (curve.measure, curve.best, curve.best_miou, curve.cost) == (maps, 0.5, 0.4, 0.2)
    partly = threshold_curve(maps, facts | {"curve": [0.3, None]})
    assert partly is not None
    assert (partly.best, partly.best_miou) == (0, 0.3)
    assert threshold_curve(maps, facts | {"curve": [None, None]}) is None
