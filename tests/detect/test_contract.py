"""The promises of every detector of single series, whatever it looks for."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import asdict, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from bifurk_service.detect.base import Detector, State, Watch
from bifurk_service.detect.registry import OPTIONAL_WATCHES, WATCHES
from bifurk_service.detect.streams import clocks
from bifurk_service.domain import Clock, Mark
from bifurk_service.stats.registry import BY_NAME
from tests.detect.courses import LENGTH, SERIES, course_of
from tests.detect.runs import Report, assert_alike, detections
from tests.detect.seen import Seen, seen_with_pauses

REPRESENTATIVES = {"regime_shift": ("std", "update_ratio", "excess_kurtosis")}
"""Of a kind that watches many: each combination of nature and scale once."""
PAIRS = [
    (watch, statistic)
    for watch in (*WATCHES, *OPTIONAL_WATCHES)
    if isinstance(watch, Watch)
    for statistic in REPRESENTATIVES.get(watch.kind, watch.statistics)
]
IDS = [f"{watch.kind}-{statistic}" for watch, statistic in PAIRS]

Stream = tuple[NDArray[np.float64], NDArray[np.bool_], list[Clock]]


def _stream(kind: str, statistic: str) -> Stream:
    """Events in every series, holes in all of them, and the marks a run may carry."""
    random = np.random.default_rng(7)
    definition = BY_NAME[statistic]
    values = course_of(kind, definition)(random)
    if definition.log_scale and kind != "collapsed":
        values = np.exp(values)
    valid = random.random(values.shape) > 0.1
    values = np.where(valid, values, np.nan)
    times = clocks(LENGTH)
    resume = Mark(kind="resume", step=times[140].step)
    times[140] = replace(times[140], marks=(resume,))
    return values, valid, times


@pytest.fixture(scope="module", params=PAIRS, ids=IDS)
def pair(request: pytest.FixtureRequest) -> tuple[Callable[[], Detector], Stream]:
    watch, statistic = request.param
    return lambda: watch.make(BY_NAME[statistic]), _stream(watch.kind, statistic)


Pair = tuple[Callable[[], Detector], Stream]

CUTS = (13, 90)
"""Snapshots before which a detector's memory is taken: with windows half full, and full."""


@pytest.fixture(scope="module")
def seen(pair: Pair) -> Seen:
    make, (values, valid, times) = pair
    detector = make()

    def find(part: slice) -> list[Report]:
        return detections(detector, values[part], valid=valid[part], clock=times[part])

    return seen_with_pauses(detector, find, cuts=(*CUTS, LENGTH))


@pytest.fixture(scope="module")
def whole(seen: Seen) -> list[Report]:
    return seen.reports


def test_a_stream_with_events_is_seen_in_every_series(whole: list[Report]) -> None:
    assert {detection.series for _, detection in whole} == set(range(SERIES))


def test_detections_are_well_formed(pair: Pair, whole: list[Report]) -> None:
    _, (_, _, times) = pair
    for index, found in whole:
        assert 0 <= found.series < SERIES
        assert found.onset_first_step <= found.onset_last_step <= times[index].step
        assert found.score >= 1
        assert np.isfinite([found.before, found.after, found.score]).all()
        json.dumps(asdict(found))


def test_all_series_at_once_are_each_series_alone(pair: Pair, whole: list[Report]) -> None:
    """The last: that the others do not hang on it is seen where it is added later."""
    make, (values, valid, times) = pair
    last = SERIES - 1
    alone = detections(make(), values[:, last:], valid=valid[:, last:], clock=times)
    assert alone == [(i, replace(one, series=0)) for i, one in whole if one.series == last]


@pytest.mark.parametrize("cut", CUTS)
def test_a_restored_detector_continues_as_if_nothing_had_happened(
    pair: Pair, seen: Seen, cut: int
) -> None:
    """To the next cut, at which it remembers what the one that was never restored does."""
    make, (values, valid, times) = pair
    after, until = make(), min(one for one in seen.kept if one > cut)
    after.restore(_through_a_file(seen.kept[cut]))
    part = slice(cut, until)
    found = detections(after, values[part], valid=valid[part], clock=times[part])
    expected = [(index, one) for index, one in seen.reports if cut <= index < until]
    assert [(index + cut, one) for index, one in found] == expected
    assert_alike(after.snapshot(), seen.kept[until])


def test_a_snapshot_is_not_changed_by_what_follows(seen: Seen) -> None:
    for cut in CUTS:
        assert_alike(seen.states[cut], seen.kept[cut])


def test_series_added_later_leave_the_others_alone(pair: Pair, whole: list[Report]) -> None:
    make, (values, valid, times) = pair
    detector = make()
    found = detections(detector, values[:20, :3], valid=valid[:20, :3], clock=times[:20])
    rest = detections(detector, values[20:], valid=valid[20:], clock=times[20:])
    found += [(index + 20, one) for index, one in rest]
    early = [(index, one) for index, one in found if one.series < 3]
    assert early == [(index, one) for index, one in whole if one.series < 3]


def test_series_are_never_taken_away(pair: Pair) -> None:
    make, (values, valid, times) = pair
    detector = make()
    detector.update(times[0], values[0], valid[0])
    with pytest.raises(ValueError, match="only ever added: 4 before, now 3"):
        detector.update(times[1], values[1, :3], valid[1, :3])


def test_an_invalid_value_is_ignored_whatever_it_is(pair: Pair, whole: list[Report]) -> None:
    make, (values, valid, times) = pair
    fillers = np.random.default_rng(5).choice([-np.inf, 1e300], size=values.shape)
    filled = np.where(valid, values, fillers)
    assert detections(make(), filled, valid=valid, clock=times) == whole


def test_nothing_is_said_of_a_series_without_values(pair: Pair) -> None:
    make, (values, _, times) = pair
    nothing = np.zeros(values.shape, dtype=np.bool_)
    assert detections(make(), values, valid=nothing, clock=times) == []


def test_no_series_at_all_is_fine(pair: Pair) -> None:
    make, (values, valid, times) = pair
    assert detections(make(), values[:, :0], valid=valid[:, :0], clock=times) == []


def test_extreme_values_neither_warn_nor_raise(pair: Pair) -> None:
    make, _ = pair
    random = np.random.default_rng(3)
    values = random.choice([0.0, 1e-300, 1e300, -1e300, 1.0, 5e-324], size=(100, 20))
    for _, found in detections(make(), values):
        assert found.score >= 1
        assert np.isfinite(found.score)


def test_parameters_are_ready_for_the_evidence(pair: Pair) -> None:
    make, _ = pair
    assert json.loads(json.dumps(dict(make().parameters()))) == dict(make().parameters())


def _through_a_file(state: State) -> State:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **state)
    buffer.seek(0)
    with np.load(buffer, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}
