"""Whole runs: few alerts on sound ones, one alert for one event."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace

import numpy as np
import pytest

from bifurk_service.detect.judge import Judge
from bifurk_service.detect.registry import WATCHES
from bifurk_service.detect.streams import clocks
from bifurk_service.domain import Alert, Clock, Severity, TensorInfo
from bifurk_service.stats.registry import BY_NAME
from tests.detect.runs import (
    LENGTH,
    MATRICES,
    ONSET,
    Values,
    faulty,
    gpt,
    judged,
    marked,
    sound_run,
    worth_telling,
)

FEW = ("std", "spectral_norm", "update_ratio", "nonfinite_count", "unmoved_share")
"""What the faults below are in. That the others say nothing beside them is seen of all statistics
at once in the sound run and in that of ``told``."""


def _few(values: Values, *others: str) -> Values:
    return {name: values[name] for name in (*FEW, *others)}


def _raised(tensors: list[TensorInfo], *, factor: float) -> tuple[Values, list[Clock]]:
    """All updates become ``factor`` times as large with the learning rate at ``ONSET``."""
    values = _few(sound_run(tensors, seed=2))
    values["update_ratio"][ONSET:] *= factor
    times = [
        replace(clock, learning_rates=(1e-3 * factor if index >= ONSET else 1e-3,))
        for index, clock in enumerate(clocks(LENGTH, every=2))
    ]
    return values, times


def test_a_sound_run_of_twelve_layers_gives_no_warning() -> None:
    tensors = gpt(12)
    assert worth_telling(judged(sound_run(tensors, seed=1), tensors)) == []


@pytest.fixture(scope="module")
def told() -> dict[str, Alert]:
    """Everything that is said of a fault in layer 2 of 12."""
    tensors = gpt(12)
    return judged(faulty(tensors), tensors)


@pytest.fixture(scope="module")
def fault(told: dict[str, Alert]) -> Alert:
    (alert,) = worth_telling(told)
    return alert


def test_a_fault_in_one_layer_is_one_alert_that_names_its_matrices_only(fault: Alert) -> None:
    assert fault.kind == "regime_shift"
    assert fault.severity is Severity.WARNING
    assert fault.detected_sequence <= ONSET + 2
    assert [one.tensor.name for one in fault.tensors] == [f"blocks.2.{n}.weight" for n in MATRICES]
    assert fault.sentence == (
        "gpt-small: the spread of the weights became 3x larger in 4 of 110 tensors, all of layer "
        "2. Began between steps 90 and 92, seen at 94. The largest singular value shifted as well."
    )


def test_the_alert_carries_what_it_was_raised_on(fault: Alert) -> None:
    evidence = json.loads(json.dumps(dataclasses.asdict(fault)))["evidence"]
    assert evidence["detector"] == "regime_shift"
    assert evidence["parameters"]["threshold"] == 4.7
    assert evidence["detection_count"] == 8
    assert evidence["detections"][0]["name"].startswith("blocks.2.")


def test_two_faults_far_apart_are_two_alerts(tensors: list[TensorInfo]) -> None:
    values = _few(faulty(tensors))
    for tensor in tensors:
        if tensor.layer == 3 and len(tensor.shape) == 2:
            values["std"][15:, tensor.id] *= 3
    alerts = worth_telling(judged(values, tensors))
    assert [{one.tensor.layer for one in alert.tensors} for alert in alerts] == [{3}, {2}]


def test_a_raised_learning_rate_is_named_and_lowers_nothing(tensors: list[TensorInfo]) -> None:
    values, times = _raised(tensors, factor=10)
    times = marked(35, "checkpoint", path="ckpt/72.pt")(times)
    (alert,) = worth_telling(judged(values, tensors, clock=times))
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
    (alert,) = worth_telling(judged(values, tensors))
    assert alert.severity is Severity.CRITICAL
    assert alert.explained_by == ()


def test_a_blow_up_of_a_model_without_layers_is_told() -> None:
    tensors = [
        TensorInfo(id=i, name=name, layer=None, role="other", shape=(64, 64))
        for i, name in enumerate(("embedding", "hidden", "hidden.bias", "output", "output.bias"))
    ]
    values = _few(sound_run(tensors, seed=3))
    growth = np.exp(0.2 * np.arange(LENGTH - ONSET))[:, None]
    values["std"][ONSET:, [0, 1, 3]] *= growth
    (alert,) = worth_telling(judged(values, tensors))
    assert alert.severity is Severity.CRITICAL
    assert {one.tensor.name for one in alert.tensors} == {"embedding", "hidden", "output"}


def test_non_finite_values_are_critical_and_one_alert_for_all_tensors(
    tensors: list[TensorInfo],
) -> None:
    values = _few(sound_run(tensors, seed=4))
    values["nonfinite_count"][50:, 5] = 3
    values["nonfinite_count"][52:] = 7
    (alert,) = worth_telling(judged(values, tensors))
    assert (alert.kind, alert.severity) == ("non_finite", Severity.CRITICAL)
    assert len(alert.tensors) == len(tensors)
    assert alert.tensors[0].tensor.id == 5


def test_a_tensor_that_stops_is_a_warning_and_one_that_never_moved_is_not(
    tensors: list[TensorInfo],
) -> None:
    values = _few(sound_run(tensors, seed=5))
    values["unmoved_share"][40:, 3] = 1.0
    values["unmoved_share"][:, 8] = 1.0
    alerts = [one for one in judged(values, tensors).values() if one.kind == "frozen"]
    assert [one.severity for one in alerts] == [Severity.INFO, Severity.WARNING]
    assert [one.tensors[0].tensor.id for one in alerts] == [8, 3]


def test_a_collapse_is_critical(tensors: list[TensorInfo]) -> None:
    values = _few(sound_run(tensors, seed=6))
    values["std"][ONSET:, 4] = 0.0
    (alert,) = worth_telling(judged(values, tensors))
    assert (alert.kind, alert.severity) == ("collapsed", Severity.CRITICAL)


def test_a_resume_is_no_event(tensors: list[TensorInfo]) -> None:
    times = marked(ONSET, "resume")(clocks(LENGTH, every=2))
    assert worth_telling(judged(_few(faulty(tensors)), tensors, clock=times)) == []


def test_lost_snapshots_change_no_verdict(tensors: list[TensorInfo]) -> None:
    kept = [index for index in range(LENGTH) if index % 11 != 4]
    values = {name: series[kept] for name, series in _few(faulty(tensors)).items()}
    times = [clocks(LENGTH, every=2)[index] for index in kept]
    (alert,) = worth_telling(judged(values, tensors, clock=times))
    assert {one.tensor.layer for one in alert.tensors} == {2}


def test_statistics_that_come_now_and_then_are_judged_when_they_come(
    tensors: list[TensorInfo],
) -> None:
    values = _few(faulty(tensors), "stable_rank", "effective_rank")
    rotation = (np.arange(LENGTH)[:, None] + np.arange(len(tensors))) % 3 != 0
    for statistic in ("spectral_norm", "stable_rank", "effective_rank"):
        values[statistic][rotation] = np.nan
    (alert,) = worth_telling(judged(values, tensors))
    assert {one.tensor.layer for one in alert.tensors} == {2}


def test_a_statistic_left_out_has_no_value(tensors: list[TensorInfo]) -> None:
    values = faulty(tensors)
    only = {name: values[name] for name in ("std", "nonfinite_count")}
    (alert,) = worth_telling(judged(only, tensors))
    assert alert.statistic == "std"


def test_what_several_detectors_see_of_one_fault_is_one_alert_with_children(
    told: dict[str, Alert], fault: Alert
) -> None:
    children = [one for one in told.values() if one.parent]
    assert {one.parent for one in children} == {fault.fingerprint}
    assert "layer_departure" in {one.kind for one in children}


def test_two_faults_close_together_are_two_alerts(tensors: list[TensorInfo]) -> None:
    values = _few(faulty(tensors))
    for tensor in tensors:
        if tensor.layer == 3 and len(tensor.shape) == 2:
            for statistic in ("std", "spectral_norm"):
                values[statistic][ONSET - 10 :, tensor.id] *= 3
    alerts = worth_telling(judged(values, tensors))
    assert [{one.tensor.layer for one in alert.tensors} for alert in alerts] == [{3}, {2}]


def test_a_statistic_from_elsewhere_is_judged_like_our_own(tensors: list[TensorInfo]) -> None:
    imported = replace(BY_NAME["std"], name="grad_noise", definition_version=7)
    (watch,) = (watch for watch in WATCHES if watch.kind == "regime_shift")
    judge = Judge(
        "gpt-small",
        watches=(replace(watch, statistics=("grad_noise",)),),
        statistics={"grad_noise": imported},
    )
    values = {"grad_noise": faulty(tensors)["std"]}
    (alert,) = judged(values, tensors, judge=judge).values()
    assert alert.statistic == "grad_noise"
    assert alert.sentence.startswith("gpt-small: grad_noise became 3x larger in 4 of 38 tensors")
