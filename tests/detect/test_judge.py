"""Whole runs: few alerts on sound ones, one alert for one event."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from bifurk_service.detect.judge import ForeignStateError, Judge
from bifurk_service.detect.recovery import RETURNED_SNAPSHOTS
from bifurk_service.detect.registry import WATCHES
from bifurk_service.detect.streams import clocks
from bifurk_service.domain import Alert, Clock, Severity, TensorInfo
from bifurk_service.stats.registry import BY_NAME
from tests.detect.runs import LENGTH, MATRICES, Values, gpt, judged, marked, sound_run

ONSET = 45


def _faulty(tensors: list[TensorInfo], *, layer: int = 2, seed: int = 1) -> Values:
    """The matrices of one layer are multiplied by three at ``ONSET``."""
    values = sound_run(tensors, seed=seed)
    for tensor in tensors:
        if tensor.layer == layer and len(tensor.shape) == 2:
            for statistic in ("std", "spectral_norm"):
                values[statistic][ONSET:, tensor.id] *= 3
    return values


def _raised(tensors: list[TensorInfo], *, factor: float) -> tuple[Values, list[Clock]]:
    """All updates become ``factor`` times as large with the learning rate at ``ONSET``."""
    values = sound_run(tensors, seed=2)
    values["update_ratio"][ONSET:] *= factor
    times = [
        replace(clock, learning_rates=(1e-3 * factor if index >= ONSET else 1e-3,))
        for index, clock in enumerate(clocks(LENGTH, every=2))
    ]
    return values, times


def _worth_telling(alerts: dict[str, Alert]) -> list[Alert]:
    """What reaches people: warnings and worse that are no part of another alert."""
    told = [alert for alert in alerts.values() if not alert.parent]
    return [alert for alert in told if alert.severity is not Severity.INFO]


def test_a_sound_run_of_twelve_layers_gives_no_warning() -> None:
    tensors = gpt(12)
    assert _worth_telling(judged(sound_run(tensors, seed=1), tensors)) == []


@pytest.fixture(scope="module")
def fault() -> Alert:
    """What a fault in layer 2 of 4 is told as."""
    tensors = gpt(4)
    (alert,) = _worth_telling(judged(_faulty(tensors), tensors))
    return alert


def test_a_fault_in_one_layer_is_one_alert_that_names_its_matrices_only(fault: Alert) -> None:
    assert fault.kind == "regime_shift"
    assert fault.severity is Severity.WARNING
    assert fault.detected_sequence <= ONSET + 2
    assert [one.tensor.name for one in fault.tensors] == [f"blocks.2.{n}.weight" for n in MATRICES]
    assert fault.sentence == (
        "gpt-small: the spread of the weights became 3x larger in 4 of 38 tensors, all of layer 2. "
        "Began between steps 90 and 92, seen at 94. The largest singular value shifted as well."
    )


def test_the_alert_carries_what_it_was_raised_on(fault: Alert) -> None:
    evidence = json.loads(json.dumps(dataclasses.asdict(fault)))["evidence"]
    assert evidence["detector"] == "regime_shift"
    assert evidence["parameters"]["threshold"] == 4.7
    assert evidence["detection_count"] == 8
    assert evidence["detections"][0]["name"].startswith("blocks.2.")


def test_two_faults_far_apart_are_two_alerts(tensors: list[TensorInfo]) -> None:
    values = _faulty(tensors)
    for tensor in tensors:
        if tensor.layer == 3 and len(tensor.shape) == 2:
            values["std"][15:, tensor.id] *= 3
    alerts = _worth_telling(judged(values, tensors))
    assert [{one.tensor.layer for one in alert.tensors} for alert in alerts] == [{3}, {2}]


def test_a_raised_learning_rate_is_named_and_lowers_nothing(tensors: list[TensorInfo]) -> None:
    values, times = _raised(tensors, factor=10)
    times = marked(35, "checkpoint", path="ckpt/72.pt")(times)
    (alert,) = _worth_telling(judged(values, tensors, clock=times))
    assert alert.severity is Severity.CRITICAL
    assert len(alert.tensors) == len(tensors)
    assert [mark.kind for mark in alert.explained_by] == ["learning_rate"]
    assert alert.sentence == (
        "gpt-small: weight updates became 9.9x larger in 38 of 38 tensors. Began between steps "
        "90 and 92, seen at 94; which layer was first is not resolved. The learning rate rose "
        "10x between steps 90 and 92: probable cause. Last checkpoint before: step 72, "
        "ckpt/72.pt."
    )


def test_a_lowered_learning_rate_explains_smaller_updates(tensors: list[TensorInfo]) -> None:
    values, times = _raised(tensors, factor=0.3)
    (alert,) = [one for one in judged(values, tensors, clock=times).values() if one.explained_by]
    assert alert.severity is Severity.INFO
    assert "it may explain this" in alert.sentence


def test_smaller_updates_without_that_are_critical(tensors: list[TensorInfo]) -> None:
    values, _ = _raised(tensors, factor=0.3)
    (alert,) = _worth_telling(judged(values, tensors))
    assert alert.severity is Severity.CRITICAL
    assert alert.explained_by == ()


def test_a_blow_up_of_a_model_without_layers_is_told() -> None:
    tensors = [
        TensorInfo(id=i, name=name, layer=None, role="other", shape=(64, 64))
        for i, name in enumerate(("embedding", "hidden", "hidden.bias", "output", "output.bias"))
    ]
    values = sound_run(tensors, seed=3)
    growth = np.exp(0.2 * np.arange(LENGTH - ONSET))[:, None]
    values["std"][ONSET:, [0, 1, 3]] *= growth
    (alert,) = _worth_telling(judged(values, tensors))
    assert alert.severity is Severity.CRITICAL
    assert {one.tensor.name for one in alert.tensors} == {"embedding", "hidden", "output"}


def test_non_finite_values_are_critical_and_one_alert_for_all_tensors(
    tensors: list[TensorInfo],
) -> None:
    values = sound_run(tensors, seed=4)
    values["nonfinite_count"][50:, 5] = 3
    values["nonfinite_count"][52:] = 7
    (alert,) = _worth_telling(judged(values, tensors))
    assert (alert.kind, alert.severity) == ("non_finite", Severity.CRITICAL)
    assert len(alert.tensors) == len(tensors)
    assert alert.tensors[0].tensor.id == 5


def test_a_tensor_that_stops_is_a_warning_and_one_that_never_moved_is_not(
    tensors: list[TensorInfo],
) -> None:
    values = sound_run(tensors, seed=5)
    values["unmoved_share"][40:, 3] = 1.0
    values["unmoved_share"][:, 8] = 1.0
    alerts = [one for one in judged(values, tensors).values() if one.kind == "frozen"]
    assert [one.severity for one in alerts] == [Severity.INFO, Severity.WARNING]
    assert [one.tensors[0].tensor.id for one in alerts] == [8, 3]


def test_a_collapse_is_critical(tensors: list[TensorInfo]) -> None:
    values = sound_run(tensors, seed=6)
    values["std"][ONSET:, 4] = 0.0
    (alert,) = _worth_telling(judged(values, tensors))
    assert (alert.kind, alert.severity) == ("collapsed", Severity.CRITICAL)


def test_a_resume_is_no_event(tensors: list[TensorInfo]) -> None:
    times = marked(ONSET, "resume")(clocks(LENGTH, every=2))
    assert _worth_telling(judged(_faulty(tensors), tensors, clock=times)) == []


def test_lost_snapshots_change_no_verdict(tensors: list[TensorInfo]) -> None:
    kept = [index for index in range(LENGTH) if index % 11 != 4]
    values = {name: series[kept] for name, series in _faulty(tensors).items()}
    times = [clocks(LENGTH, every=2)[index] for index in kept]
    (alert,) = _worth_telling(judged(values, tensors, clock=times))
    assert {one.tensor.layer for one in alert.tensors} == {2}


def test_statistics_that_come_now_and_then_are_judged_when_they_come(
    tensors: list[TensorInfo],
) -> None:
    values = _faulty(tensors)
    rotation = (np.arange(LENGTH)[:, None] + np.arange(len(tensors))) % 3 != 0
    for statistic in ("spectral_norm", "stable_rank", "effective_rank"):
        values[statistic][rotation] = np.nan
    (alert,) = _worth_telling(judged(values, tensors))
    assert {one.tensor.layer for one in alert.tensors} == {2}


def test_a_statistic_left_out_has_no_value(tensors: list[TensorInfo]) -> None:
    values = _faulty(tensors)
    only = {name: values[name] for name in ("std", "nonfinite_count")}
    (alert,) = _worth_telling(judged(only, tensors))
    assert alert.statistic == "std"


def test_a_restored_judge_continues_as_if_nothing_had_happened() -> None:
    tensors = gpt(3)
    values, times = _faulty(tensors), marked(25, "checkpoint", path="a")(clocks(LENGTH, every=2))
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
    values, times = _faulty(tensors), clocks(LENGTH, every=2)
    early = {name: series[:15, :20] for name, series in values.items()}
    judged(early, tensors[:20], clock=times[:15], judge=judge)
    rest = {name: series[15:] for name, series in values.items()}
    (alert,) = _worth_telling(judged(rest, tensors, clock=times[15:], judge=judge))
    assert {one.tensor.layer for one in alert.tensors} == {2}


def test_what_several_detectors_see_of_one_fault_is_one_alert_with_children() -> None:
    tensors = gpt(12)
    alerts = judged(_faulty(tensors), tensors)
    (head,) = _worth_telling(alerts)
    assert head.kind == "regime_shift"
    children = [one for one in alerts.values() if one.parent]
    assert {one.parent for one in children} == {head.fingerprint}
    assert "layer_departure" in {one.kind for one in children}


def test_two_faults_close_together_are_two_alerts(tensors: list[TensorInfo]) -> None:
    values = _faulty(tensors)
    for tensor in tensors:
        if tensor.layer == 3 and len(tensor.shape) == 2:
            for statistic in ("std", "spectral_norm"):
                values[statistic][ONSET - 10 :, tensor.id] *= 3
    alerts = _worth_telling(judged(values, tensors))
    assert [{one.tensor.layer for one in alert.tensors} for alert in alerts] == [{3}, {2}]


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


def test_a_statistic_from_elsewhere_is_judged_like_our_own(tensors: list[TensorInfo]) -> None:
    imported = replace(BY_NAME["std"], name="grad_noise", definition_version=7)
    (watch,) = (watch for watch in WATCHES if watch.kind == "regime_shift")
    judge = Judge(
        "gpt-small",
        watches=(replace(watch, statistics=("grad_noise",)),),
        statistics={"grad_noise": imported},
    )
    values = {"grad_noise": _faulty(tensors)["std"]}
    (alert,) = judged(values, tensors, judge=judge).values()
    assert alert.statistic == "grad_noise"
    assert alert.sentence.startswith("gpt-small: grad_noise became 3x larger in 4 of 38 tensors")


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
