"""The measured rates of false alarms, as alerts carry them."""

from __future__ import annotations

from typing import Any

import pytest

from bifurk_service.detect import calibration
from bifurk_service.detect.calibration import (
    calibrations,
    false_alarms_per_10000,
    read_calibrations,
)
from bifurk_service.detect.registry import OPTIONAL_WATCHES, WATCHES

ROW = {"scores": [1.0, 1.5, 3.0], "per_10000": [2.0, 0.5, 0.0], "series_snapshots": 1_000}


@pytest.fixture
def _measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "calibrations", lambda: read_calibrations({"a": ROW}))


def test_the_table_of_this_package_is_sound_and_of_known_kinds() -> None:
    kinds = {watch.kind for watch in (*WATCHES, *OPTIONAL_WATCHES)}
    assert set(calibrations()) <= kinds


@pytest.mark.usefixtures("_measured")
@pytest.mark.parametrize(
    ("score", "rate"), [(1.0, 2.0), (1.49, 2.0), (1.5, 0.5), (2.9, 0.5), (99.0, 0.0)]
)
def test_the_rate_is_that_of_the_highest_score_reached(score: float, rate: float) -> None:
    assert false_alarms_per_10000("a", score) == rate


@pytest.mark.usefixtures("_measured")
def test_a_kind_that_was_not_measured_has_no_rate() -> None:
    assert false_alarms_per_10000("b", 2.0) is None


@pytest.mark.parametrize(
    "change",
    [
        {"scores": [1.0, 1.0, 3.0]},
        {"scores": [1.2, 1.5, 3.0]},
        {"scores": [1.0]},
        {"per_10000": [0.5, 2.0, 0.0]},
        {"per_10000": [2.0, 0.5, -0.1]},
        {"series_snapshots": 0},
    ],
)
def test_a_table_that_cannot_be_right_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"scores|rates"):
        read_calibrations({"a": ROW | change})
