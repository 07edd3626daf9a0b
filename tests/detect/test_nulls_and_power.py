"""How often ``regime_shift`` cries wolf, and how soon it sees a real shift."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from scipy.stats import binom

from bifurk_service.detect.regime_shift import RegimeShift
from bifurk_service.detect.schedule import Schedule
from bifurk_service.detect.streams import LENGTH, NULLS, Stream, is_explained, jump, tripled
from tests.detect.runs import Report, detections

SERIES = 60
HEALTHY = 40
"""Series of each healthy family: at a rate of one in five, one draw in thirteen would pass."""
RATE = {"AR(.9)": 0.12}
"""Largest share of series of 400 snapshots that may fire; .02 unless said here."""


def _judged(stream: Stream) -> list[Report]:
    found = detections(
        RegimeShift(stream.statistic), stream.values, valid=stream.valid, clock=stream.clocks
    )
    return _unexplained(stream, found)


def _unexplained(stream: Stream, found: list[Report]) -> list[Report]:
    schedule, told = Schedule(), []
    at = defaultdict(list)
    for index, one in found:
        at[index].append(one)
    for index, clock in enumerate(stream.clocks):
        schedule.take(clock)
        told += [(index, one) for one in at[index] if not is_explained(stream, one, schedule)]
    return told


def _delays(stream: Stream) -> dict[int, int]:
    """Snapshots from the onset to the first detection after it, the onset's own counted."""
    assert stream.onset is not None
    delays: dict[int, int] = {}
    for index, found in _judged(stream):
        if index >= stream.onset:
            delays.setdefault(found.series, index - stream.onset + 1)
    return delays


@pytest.fixture(scope="module")
def fired() -> dict[str, int]:
    """How many series of each healthy family fired.

    What shares its steps is judged at once: series do not see one another, nor, as none of them is
    the motion of weights, the learning rate. That only explains, of each family its own.
    """
    drawn = {name: make(np.random.default_rng(11), HEALTHY, LENGTH) for name, make in NULLS.items()}
    alike: defaultdict[tuple[object, ...], list[str]] = defaultdict(list)
    for name, stream in drawn.items():
        alike[stream.nature, *(clock.step for clock in stream.clocks)].append(name)
    counted = {}
    for names in alike.values():
        streams = [drawn[name] for name in names]
        found = detections(
            RegimeShift(streams[0].statistic),
            np.concatenate([stream.values for stream in streams], axis=1),
            valid=np.concatenate([stream.valid for stream in streams], axis=1),
            clock=streams[0].clocks,
        )
        for place, (name, stream) in enumerate(zip(names, streams, strict=True)):
            own = [(index, one) for index, one in found if one.series // HEALTHY == place]
            counted[name] = len({one.series for _, one in _unexplained(stream, own)})
    return counted


@pytest.mark.parametrize("family", NULLS)
def test_healthy_series_are_left_in_peace(family: str, fired: dict[str, int]) -> None:
    # More than this would come in one draw of 200 at the largest rate allowed.
    assert fired[family] <= binom.ppf(0.995, HEALTHY, RATE.get(family, 0.02))


@pytest.mark.parametrize("size", [5.0, -5.0])
def test_a_jump_of_five_standard_deviations_is_seen_within_six_snapshots(size: float) -> None:
    stream = jump(np.random.default_rng(12), SERIES, 260, size=size)
    soon = [delay for delay in _delays(stream).values() if delay <= 6]
    assert len(soon) / SERIES >= 0.85


@pytest.mark.parametrize("onset", [15, 40, 200])
def test_a_norm_that_is_tripled_is_seen_within_three_snapshots(onset: int) -> None:
    stream = tripled(np.random.default_rng(13), SERIES, onset + 30, onset=onset)
    delays = _delays(stream)
    assert len(delays) == SERIES
    assert max(delays.values()) <= 3


def test_the_onset_of_a_tripled_norm_is_the_very_interval() -> None:
    stream = tripled(np.random.default_rng(14), SERIES, 130, onset=90)
    for _, found in _judged(stream):
        assert (found.onset_first_step, found.onset_last_step) == (900, 910)
        assert found.after - found.before == pytest.approx(np.log(3), abs=0.02)


def test_one_event_is_one_detection() -> None:
    stream = jump(np.random.default_rng(15), SERIES, 300, size=10, onset=100)
    found = _judged(stream)
    assert len(found) <= 1.02 * SERIES
