"""How ready the verdicts are, in words."""

from __future__ import annotations

import pytest

from bifurk_service.detect.readiness import readiness


@pytest.mark.parametrize(
    ("judged", "last_step", "interval", "text"),
    [
        (0, None, None, "0 of 60 snapshots; first verdict after 12"),
        (1, 100, None, "1 of 60 snapshots; first verdict after 12"),
        (3, 1_000, 100.0, "3 of 60 snapshots; first verdict near step 1,900"),
        (12, 1_900, 100.0, "12 of 60 snapshots; verdicts with wider thresholds"),
        (59, 6_600, 100.0, "59 of 60 snapshots; verdicts with wider thresholds"),
        (1_200, 120_000, 100.0, "1,200 snapshots; verdicts fully calibrated"),
    ],
)
def test_readiness_in_words(
    judged: int, last_step: int | None, interval: float | None, text: str
) -> None:
    assert readiness(judged=judged, last_step=last_step, interval_steps=interval).text == text


def test_the_fields_say_the_same() -> None:
    found = readiness(judged=12, last_step=1_900, interval_steps=100)
    assert (found.judged, found.needed, found.first_verdict_step) == (12, 60, 1_900)
    assert found.has_verdict
    assert not found.ready
    assert readiness(judged=60, last_step=6_700, interval_steps=100).ready


def test_a_negative_count_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 0 snapshots are judged, got -1"):
        readiness(judged=-1, last_step=None, interval_steps=None)
