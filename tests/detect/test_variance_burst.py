"""How often ``variance_burst`` cries wolf, and how soon it sees noise that has become wider."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binom

from bifurk_service.detect.streams import LENGTH, NULLS, Stream, clocks, jump
from bifurk_service.detect.streams.events import variance_burst
from bifurk_service.detect.variance_burst import VarianceBurst
from tests.detect.runs import Report, detections

SERIES = 60
RATE = 0.02
"""Largest share of series of 400 snapshots that may fire."""


def _judged(stream: Stream) -> list[Report]:
    return detections(
        VarianceBurst(stream.statistic), stream.values, valid=stream.valid, clock=stream.clocks
    )


@pytest.fixture(scope="module")
def fired() -> dict[str, int]:
    """How many series of each healthy family fired; what shares its clocks is judged at once."""
    drawn = {name: make(np.random.default_rng(21), SERIES, LENGTH) for name, make in NULLS.items()}
    alike: defaultdict[tuple[object, ...], list[str]] = defaultdict(list)
    for name, stream in drawn.items():
        alike[stream.nature, repr(stream.clocks)].append(name)
    counted = {}
    for names in alike.values():
        streams = [drawn[name] for name in names]
        together = replace(
            streams[0],
            values=np.concatenate([stream.values for stream in streams], axis=1),
            valid=np.concatenate([stream.valid for stream in streams], axis=1),
        )
        series = {found.series for _, found in _judged(together)}
        for place, name in enumerate(names):
            counted[name] = sum(one // SERIES == place for one in series)
    return counted


@pytest.mark.parametrize("family", NULLS)
def test_healthy_series_are_left_in_peace(family: str, fired: dict[str, int]) -> None:
    # More than this would come in one draw of 200 at that rate.
    assert fired[family] <= binom.ppf(0.995, SERIES, RATE)


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_noise_three_times_as_wide_is_seen_within_25_snapshots(correlation: float) -> None:
    stream = variance_burst(
        np.random.default_rng(22), 2 * SERIES, 230, correlation=correlation, onset=200
    )
    found = [one for index, one in _judged(stream) if 200 <= index < 225]
    assert len(found) >= 0.85 * 2 * SERIES
    ratios = [float(one.details["ratio"]) for one in found]
    assert 2.5 < np.median(ratios) < 4.5


def test_a_jump_of_the_level_is_no_burst() -> None:
    stream = jump(np.random.default_rng(23), SERIES, 260, size=8.0)
    assert len({found.series for _, found in _judged(stream)}) <= 2


def test_noise_that_becomes_narrower_is_not_told() -> None:
    stream = variance_burst(np.random.default_rng(24), SERIES, 300, factor=1 / 3)
    assert len(_judged(stream)) <= 2


def test_a_burst_in_a_short_series_is_seen() -> None:
    stream = variance_burst(np.random.default_rng(25), SERIES, 130, factor=6.0, onset=75)
    seen = {found.series for index, found in _judged(stream) if 75 <= index < 105}
    assert len(seen) >= 0.8 * SERIES


def test_the_widths_are_those_of_the_noise_and_the_values_those_of_the_series() -> None:
    random = np.random.default_rng(26)
    values = 7.0 + 0.01 * random.standard_normal((260, 40))
    values[200:] += 0.04 * random.standard_normal((60, 40))
    stream = jump(random, 1, 2, size=0)
    found = [one for _, one in detections(VarianceBurst(stream.statistic), values)]
    assert len(found) >= 36
    assert np.median([one.before for one in found]) == pytest.approx(7.0, abs=0.01)
    # Innovations of a filter are wider than the noise itself, by a fifth here.
    assert np.median([float(one.details["noise_before"]) for one in found]) == pytest.approx(
        0.012, rel=0.25
    )


def test_repeats_of_a_number_format_are_no_noise() -> None:
    random = np.random.default_rng(27)
    values = np.round(np.cumsum(0.3 * random.standard_normal((400, SERIES)), axis=0))
    stream = jump(random, 1, 2, size=0)
    assert detections(VarianceBurst(stream.statistic), values, clock=clocks(400)) == []
