"""The promises of every population detector, whatever it looks for."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial

import numpy as np
import pytest
from numpy.typing import NDArray

from bifurk_service.detect.base import PopulationDetector, State
from bifurk_service.detect.branch_split import BranchSplit
from bifurk_service.detect.critical_slowing import CriticalSlowing, CriticalSlowingParameters
from bifurk_service.detect.layer_departure import LayerDeparture
from bifurk_service.detect.streams import clocks
from bifurk_service.domain import Clock, Mark, TensorInfo
from bifurk_service.stats.registry import BY_NAME
from tests.detect.layers import fork, one_leaves, one_role, population_detections, relaxing, roles
from tests.detect.runs import Report, assert_alike
from tests.detect.seen import Seen, seen_with_pauses

LAYERS = 8
GROUPS = 3
LENGTH = 150

Make = Callable[[], PopulationDetector]
Stream = tuple[list[TensorInfo], NDArray[np.float64], NDArray[np.bool_], list[Clock]]
Case = tuple[Make, Stream]


def _forks(random: np.random.Generator, onset: int) -> NDArray[np.float64]:
    return fork(random, LENGTH, LAYERS, leaving=3, onset=onset)


def _departures(random: np.random.Generator, onset: int) -> NDArray[np.float64]:
    return one_leaves(random, LENGTH, LAYERS, onset=onset, size=1.0, base=relaxing)


def _slowing(random: np.random.Generator, onset: int) -> NDArray[np.float64]:
    """All layers share noise that grows and slows down until the onset."""
    value, rows = 0.0, []
    for index in range(LENGTH):
        near = min(index / onset, 1.0)
        value = 0.95 * near**2 * value + 0.05 * (0.2 + near) * random.standard_normal()
        rows.append(value)
    return np.array(rows)[:, None] + 0.001 * random.standard_normal((LENGTH, LAYERS))


CASES = {
    "branch_split": (BranchSplit, "std", _forks),
    "branch_split of motion": (BranchSplit, "update_ratio", _forks),
    "layer_departure": (LayerDeparture, "std", _departures),
    "layer_departure of motion": (LayerDeparture, "update_ratio", _departures),
    "critical_slowing": (
        partial(
            CriticalSlowing, parameters=CriticalSlowingParameters(window=60, tau=0.7, p_value=0.05)
        ),
        "std",
        _slowing,
    ),
}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    detector, statistic, course = CASES[request.param]
    random = np.random.default_rng(7)
    values = np.exp(
        np.concatenate([course(random, onset) for onset in (60, 75, 90)], axis=1)  # type: ignore[operator]
    )
    valid = random.random(values.shape) > 0.05
    values = np.where(valid, values, np.nan)
    times = clocks(LENGTH)
    resume = Mark(kind="resume", step=times[140].step)
    times[140] = replace(times[140], marks=(resume,))
    make: Make = lambda: detector(BY_NAME[statistic])  # type: ignore[operator] # noqa: E731
    return make, (roles(GROUPS, LAYERS), values, valid, times)


def _found(detector: PopulationDetector, stream: Stream, rows: slice = slice(None)) -> list[Report]:
    tensors, values, valid, times = stream
    return population_detections(
        detector, tensors, values[rows], valid=valid[rows], clock=times[rows]
    )


CUTS = (13, 100)
"""Snapshots before which a detector's memory is taken."""


@pytest.fixture(scope="module")
def seen(case: Case) -> Seen:
    make, stream = case
    detector = make()
    return seen_with_pauses(detector, partial(_found, detector, stream), cuts=(*CUTS, LENGTH))


@pytest.fixture(scope="module")
def whole(seen: Seen) -> list[Report]:
    return seen.reports


def test_a_stream_with_events_is_seen_in_its_groups(whole: list[Report]) -> None:
    assert len({one.series // LAYERS for _, one in whole}) >= 2


def test_detections_are_well_formed(case: Case, whole: list[Report]) -> None:
    _, stream = case
    for index, found in whole:
        assert 0 <= found.series < GROUPS * LAYERS
        assert found.onset_first_step <= found.onset_last_step <= stream[3][index].step
        assert found.score >= 1
        assert np.isfinite([found.before, found.after, found.score]).all()
        assert found.details["group"] == f"blocks.*.role{found.series // LAYERS}.weight"
        json.dumps(asdict(found))


def test_groups_together_are_each_group_alone(case: Case, whole: list[Report]) -> None:
    make, (tensors, values, valid, times) = case
    for group in range(GROUPS):
        columns = slice(group * LAYERS, (group + 1) * LAYERS)
        alone = _found(make(), (tensors[columns], values[:, columns], valid[:, columns], times))
        expected = [
            (index, replace(one, series=one.series - columns.start))
            for index, one in whole
            if one.series // LAYERS == group
        ]
        assert [_rounded(one) for one in alone] == [_rounded(one) for one in expected]


@pytest.mark.parametrize("cut", CUTS)
def test_a_restored_detector_continues_as_if_nothing_had_happened(
    case: Case, seen: Seen, cut: int
) -> None:
    """To the next cut, at which it remembers what the one that was never restored does."""
    make, stream = case
    after, until = make(), min(one for one in seen.kept if one > cut)
    after.restore(_through_a_file(seen.kept[cut]))
    found = _found(after, stream, slice(cut, until))
    expected = [(index, one) for index, one in seen.reports if cut <= index < until]
    assert [(index + cut, one) for index, one in found] == expected
    assert_alike(after.snapshot(), seen.kept[until])


def test_a_snapshot_is_not_changed_by_what_follows(seen: Seen) -> None:
    for cut in CUTS:
        assert_alike(seen.states[cut], seen.kept[cut])


def test_a_group_added_later_leaves_the_others_alone(case: Case, whole: list[Report]) -> None:
    make, (tensors, values, valid, times) = case
    few, detector = slice(2 * LAYERS), make()
    found = _found(detector, (tensors[few], values[:20, few], valid[:20, few], times[:20]))
    rest = _found(detector, (tensors, values[20:], valid[20:], times[20:]))
    found += [(index + 20, one) for index, one in rest]
    early = [(index, one) for index, one in found if one.series < 2 * LAYERS]
    expected = [(index, one) for index, one in whole if one.series < 2 * LAYERS]
    assert [_rounded(one) for one in early] == [_rounded(one) for one in expected]


def test_series_are_never_taken_away(case: Case) -> None:
    make, (tensors, values, valid, times) = case
    detector = make()
    detector.update(times[0], tensors, values[0], valid[0])
    with pytest.raises(ValueError, match="only ever added: 24 before, now 23"):
        detector.update(times[1], tensors[:23], values[1, :23], valid[1, :23])


def test_an_invalid_value_is_ignored_whatever_it_is(case: Case, whole: list[Report]) -> None:
    make, (tensors, values, valid, times) = case
    fillers = np.random.default_rng(5).choice([-np.inf, 1e300], size=values.shape)
    filled = np.where(valid, values, fillers)
    assert _found(make(), (tensors, filled, valid, times)) == whole


def test_nothing_is_said_of_series_without_values_or_without_layers(case: Case) -> None:
    make, (tensors, values, valid, times) = case
    assert _found(make(), (tensors, values, np.zeros_like(valid), times)) == []
    apart = [replace(tensor, layer=None) for tensor in tensors]
    assert _found(make(), (apart, values, valid, times)) == []
    assert _found(make(), ([], values[:, :0], valid[:, :0], times)) == []


def test_extreme_values_neither_warn_nor_raise(case: Case) -> None:
    make, _ = case
    values = np.random.default_rng(3).choice(
        [0.0, 1e-300, 1e300, -1e300, 1.0, 5e-324, np.inf, np.nan], size=(LENGTH, 12)
    )
    for _, found in population_detections(make(), one_role(12), values):
        assert found.score >= 1
        assert np.isfinite(found.score)


def test_constant_layers_are_quiet(case: Case) -> None:
    make, _ = case
    constant = np.broadcast_to(np.random.default_rng(4).uniform(0.5, 2, 12), (LENGTH, 12))
    assert population_detections(make(), one_role(12), constant) == []


def test_a_past_ends_at_a_resume(case: Case, whole: list[Report]) -> None:
    make, (tensors, values, valid, times) = case
    jumped = values.copy()
    jumped[140:, ::2] *= 50
    before = [one for one in whole if one[0] < 140]
    assert _found(make(), (tensors, jumped, valid, times)) == before


def test_parameters_are_ready_for_the_evidence(case: Case) -> None:
    make, _ = case
    assert json.loads(json.dumps(dict(make().parameters()))) == dict(make().parameters())


def _through_a_file(state: State) -> State:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **state)
    buffer.seek(0)
    with np.load(buffer, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _rounded(one: Report) -> Report:
    """Without the last bits: sums over wider arrays may round otherwise."""
    index, found = one
    details = {
        name: float(f"{value:.9g}") if isinstance(value, float) else value
        for name, value in found.details.items()
    }
    return index, replace(found, score=float(f"{found.score:.9g}"), details=details)
