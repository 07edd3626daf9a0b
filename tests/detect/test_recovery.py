"""An alert is over once its tensors have been back for long enough."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from bifurk_service.detect.recovery import MOST_FOLLOWED, RETURNED_SNAPSHOTS, Recovery
from bifurk_service.domain import AffectedTensor, Alert, Severity, TensorInfo
from bifurk_service.stats.registry import BY_NAME

TENSORS = [
    TensorInfo(id=10 + place, name=f"w{place}", layer=place, role="other", shape=(8, 8))
    for place in range(8)
]
Row = Sequence[float]


def alert(
    kind: str = "regime_shift",
    statistic: str = "std",
    *,
    before: Row = (1.0, 1.0, 1.0, 1.0),
    after: Row = (3.0, 3.0, 3.0, 3.0),
    branches: Sequence[int] | None = None,
    fingerprint: str = "a",
) -> Alert:
    """Of the last tensors of the model, one for every value."""
    first = len(TENSORS) - len(before)
    affected = tuple(
        AffectedTensor(
            tensor=TENSORS[first + index],
            statistics=(statistic,),
            onset_first_step=0,
            onset_last_step=2,
            before=before[index],
            after=after[index],
            score=1.0,
            branch=None if branches is None else branches[index],
        )
        for index in range(len(before))
    )
    return Alert(
        fingerprint=fingerprint,
        kind=kind,
        severity=Severity.WARNING,
        statistic=statistic,
        tensors=affected,
        detected_step=4,
        detected_sequence=2,
        onset_first_step=0,
        onset_last_step=2,
        before=before[0],
        after=after[0],
        score=1.0,
        sentence="",
    )


def following(*alerts: Alert) -> Recovery:
    recovery = Recovery(BY_NAME)
    for one in alerts:
        recovery.follow(one, TENSORS)
    return recovery


def held(recovery: Recovery, values: Row, *, snapshots: int, statistic: str = "std") -> list[int]:
    """Snapshots, from 1, at which something was over while the last tensors kept these values."""
    row = np.array([*[np.nan] * (len(TENSORS) - len(values)), *values])
    return [
        snapshot
        for snapshot in range(1, snapshots + 1)
        if recovery.update({statistic: row}, {statistic: np.isfinite(row)})
    ]


def test_it_is_over_once_when_three_quarters_are_back_for_long_enough() -> None:
    recovery = following(alert())
    assert held(recovery, (1.2, 1.1, 0.9, 3.0), snapshots=60) == [RETURNED_SNAPSHOTS]


def test_half_of_the_tensors_are_not_enough() -> None:
    assert held(following(alert()), (1.0, 1.0, 3.0, 3.0), snapshots=60) == []


def test_a_quarter_of_the_change_is_measured_on_the_detectors_scale() -> None:
    left = 3.0**0.25
    assert held(following(alert()), [left * 0.99] * 4, snapshots=60)
    assert not held(following(alert()), [left * 1.01] * 4, snapshots=60)
    kurtosis = alert(statistic="excess_kurtosis", before=[-1.0], after=[1.0])
    assert held(following(kurtosis), [-0.51], snapshots=60, statistic="excess_kurtosis")
    assert not held(following(kurtosis), [-0.49], snapshots=60, statistic="excess_kurtosis")


def test_an_overshoot_is_not_a_return() -> None:
    assert held(following(alert()), [0.3] * 4, snapshots=60) == []


def test_going_away_again_begins_anew() -> None:
    recovery = following(alert())
    assert held(recovery, [1.0] * 4, snapshots=RETURNED_SNAPSHOTS - 1) == []
    assert held(recovery, [3.0] * 4, snapshots=1) == []
    assert held(recovery, [1.0] * 4, snapshots=60) == [RETURNED_SNAPSHOTS]


def test_snapshots_without_a_value_count_neither_way() -> None:
    recovery = following(alert())
    assert held(recovery, [1.0] * 4, snapshots=RETURNED_SNAPSHOTS - 1) == []
    assert held(recovery, [np.nan] * 4, snapshots=10) == []
    assert held(recovery, [7.0], snapshots=5, statistic="update_ratio") == []
    assert held(recovery, [1.0] * 4, snapshots=60) == [1]


def test_an_alert_that_grows_begins_anew() -> None:
    recovery = following(alert())
    assert held(recovery, [1.0] * 4, snapshots=10) == []
    recovery.follow(alert(), TENSORS)
    assert held(recovery, [1.0] * 4, snapshots=60) == [RETURNED_SNAPSHOTS]


def test_values_that_are_not_finite_are_over_when_there_are_none() -> None:
    counted = alert("non_finite", "nonfinite_count", before=[0.0, 0.0], after=[9.0, 4.0])
    for values, over in (((0.0, 0.0), True), ((0.0, 1.0), False)):
        told = held(following(counted), values, snapshots=60, statistic="nonfinite_count")
        assert bool(told) is over


@pytest.mark.parametrize("before", [0.1, 1.0])
def test_what_was_frozen_is_back_when_it_moves(before: float) -> None:
    frozen = alert("frozen", "unmoved_share", before=[before], after=[1.0])
    assert held(following(frozen), [0.9], snapshots=60, statistic="unmoved_share")
    assert not held(following(frozen), [1.0], snapshots=60, statistic="unmoved_share")


def test_a_spread_that_fell_to_nothing_can_come_back() -> None:
    collapsed = alert("collapsed", before=[0.02], after=[0.0])
    assert held(following(collapsed), [0.0], snapshots=60) == []
    assert held(following(collapsed), [0.019], snapshots=60) == [RETURNED_SNAPSHOTS]


def test_branches_are_back_when_their_gap_is_closed_wherever_they_are() -> None:
    split = alert(
        "branch_split",
        before=[1.0] * 6,
        after=[1.0, 1.0, 1.0, 3.0, 3.0, 3.0],
        branches=[0, 0, 0, 1, 1, 1],
    )
    assert held(following(split), [3.0] * 6, snapshots=60) == [RETURNED_SNAPSHOTS]
    assert held(following(split), [1.0, 1.0, 1.0, 2.0, 2.0, 2.0], snapshots=60) == []


def _burst() -> Alert:
    noise = {"noise_before": 0.01, "noise_after": 0.03}
    seen = [{"tensor": tensor.id, "statistic": "std", "details": noise} for tensor in TENSORS[-4:]]
    return replace(alert("variance_burst", after=[1.0] * 4), evidence={"detections": seen})


@pytest.mark.parametrize(("noise", "is_over"), [(0.01, True), (0.03, False)])
def test_a_burst_is_over_when_the_noise_is_small_again(noise: float, *, is_over: bool) -> None:
    recovery, random = following(_burst()), np.random.default_rng(5)
    told = [
        snapshot
        for snapshot in range(1, 60)
        if held(recovery, np.exp(noise * random.standard_normal(4)).tolist(), snapshots=1)
    ]
    assert told == ([RETURNED_SNAPSHOTS + 1] if is_over else [])


def test_one_bad_snapshot_is_over_whatever_comes() -> None:
    bad = alert("one_bad_snapshot")
    assert held(following(bad), [3.0] * 4, snapshots=60) == [RETURNED_SNAPSHOTS]


def test_the_memory_survives_json() -> None:
    recovery, copy = following(alert(), alert(fingerprint="b")), Recovery(BY_NAME)
    held(recovery, [1.0] * 4, snapshots=10)
    copy.restore(json.loads(json.dumps(recovery.as_json())))
    rest = RETURNED_SNAPSHOTS - 10
    assert held(copy, [1.0] * 4, snapshots=60) == [rest]
    assert held(recovery, [1.0] * 4, snapshots=60) == [rest]


def test_of_too_many_the_oldest_is_left_to_a_person() -> None:
    alerts = [alert(fingerprint=str(index)) for index in range(MOST_FOLLOWED + 1)]
    followed = [entry["fingerprint"] for entry in following(*alerts).as_json()]
    assert followed == [str(index) for index in range(1, MOST_FOLLOWED + 1)]
