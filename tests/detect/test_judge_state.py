"""What a judge keeps of a run: taken up again it goes on, and a foreign state is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from bifurk_service.detect.judge import Judge
from bifurk_service.detect.recovery import RETURNED_SNAPSHOTS
from bifurk_service.detect.registry import WATCHES
from bifurk_service.detect.state_archive import ForeignStateError
from bifurk_service.detect.streams import clocks
from bifurk_service.domain import Alert, TensorInfo
from bifurk_service.stats.registry import BY_NAME
from tests.detect.runs import LENGTH, ONSET, faulty, gpt, judged, marked, sound_run, worth_telling


def test_a_restored_judge_continues_as_if_nothing_had_happened() -> None:
    tensors = gpt(3)
    values, times = faulty(tensors), marked(25, "checkpoint", path="a")(clocks(LENGTH, every=2))
    whole = judged(values, tensors, clock=times)
    judge, alerts = Judge("gpt-small"), dict[str, Alert]()
    for part in (slice(1), slice(1, ONSET + 1), slice(ONSET + 1, None)):
        before = judge.snapshot()
        judge = _taken_up_again(judge)
        rows = {name: series[part] for name, series in values.items()}
        alerts |= judged(rows, tensors, clock=times[part], judge=judge)
        assert judge.snapshot() != before
    assert alerts == whole


def test_tensors_added_later_are_judged_from_then_on() -> None:
    tensors, judge = gpt(3), Judge("gpt-small")
    values, times = faulty(tensors), clocks(LENGTH, every=2)
    early = {name: series[:15, :20] for name, series in values.items()}
    judged(early, tensors[:20], clock=times[:15], judge=judge)
    rest = {name: series[15:] for name, series in values.items()}
    (alert,) = worth_telling(judged(rest, tensors, clock=times[15:], judge=judge))
    assert {one.tensor.layer for one in alert.tensors} == {2}


def test_a_fault_that_is_undone_returns(tensors: list[TensorInfo]) -> None:
    values = sound_run(tensors, seed=1)
    for tensor in tensors:
        if tensor.layer == 2 and len(tensor.shape) == 2:
            values["std"][30:38, tensor.id] *= 3
    judge, raised, returned = Judge("gpt-small"), dict[str, str](), list[tuple[int, str]]()
    for index, clock in enumerate(clocks(LENGTH, every=2)):
        row = {name: series[index] for name, series in values.items()}
        known = {name: np.isfinite(series) for name, series in row.items()}
        verdict = judge.update(clock, tensors, row, known)
        raised |= {alert.fingerprint: alert.kind for alert in verdict.alerts}
        returned += [(index, raised[fingerprint]) for fingerprint in verdict.returned]
        if index == 45:
            judge = _taken_up_again(judge)
    assert [kind for _, kind in returned if kind == "regime_shift"] == ["regime_shift"]
    assert min(index for index, _ in returned) >= 37 + RETURNED_SNAPSHOTS


def _taken_up_again(judge: Judge) -> Judge:
    copy = Judge("gpt-small")
    copy.restore(judge.snapshot())
    return copy


def test_another_definition_of_a_statistic_is_another_definition_of_the_judge() -> None:
    statistics = {**BY_NAME, "std": replace(BY_NAME["std"], definition_version=99)}
    assert Judge("a", statistics=statistics).definition != Judge("a").definition


def _garbage(_: bytes) -> bytes:
    return b"garbage"


def _truncated(state: bytes) -> bytes:
    return state[: len(state) // 2]


@pytest.mark.parametrize("damage", [_garbage, _truncated])
def test_a_damaged_state_is_refused(damage: Callable[[bytes], bytes]) -> None:
    with pytest.raises(ForeignStateError, match="no state"):
        Judge("a").restore(damage(Judge("a").snapshot()))


def test_a_state_of_other_watches_is_refused() -> None:
    other = Judge("a", watches=WATCHES[:2])
    assert other.definition != Judge("a").definition
    with pytest.raises(ForeignStateError, match="definition"):
        Judge("a").restore(other.snapshot())


def test_a_snapshot_out_of_order_is_refused(tensors: list[TensorInfo]) -> None:
    judge, clock = Judge("a"), clocks(2)[1]
    judge.update(clock, tensors, {}, {})
    with pytest.raises(ValueError, match="sequence 1 does not follow 1"):
        judge.update(clock, tensors, {}, {})


def test_other_tensors_than_before_are_refused(tensors: list[TensorInfo]) -> None:
    judge, (first, second) = Judge("a"), clocks(2)
    judge.update(first, tensors, {}, {})
    with pytest.raises(ValueError, match="first 38 tensors are not those judged so far"):
        judge.update(second, tensors[1:], {}, {})


def test_an_array_of_another_length_is_refused(tensors: list[TensorInfo]) -> None:
    with pytest.raises(ValueError, match="std: expected 38 values"):
        Judge("a").update(clocks(1)[0], tensors, {"std": np.ones(3)}, {"std": np.ones(3, bool)})
