"""The main job: a real model trains through the hook, a real server tells what its weights did."""

from __future__ import annotations

import re

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bifurk_service.stats.elements import element_table as elements
from bifurk_service.stats.registry import STATISTICS
from tests.e2e.conftest import FAULT_STEP, STEPS, Trained
from tests.stats.oracle import expected_dip, expected_elements, expected_motion, expected_spectrum

ROUNDED = "blocks.0.mlp.up.weight"
"""20,480 float32 values: counted by bfloat16 key. All other tensors are exact."""
EXACT_TOLERANCE = 1e-9
SPECTRUM_TOLERANCE = 1e-6
SAMPLED_MOTION_TOLERANCE = 0.1
"""Relative, of motion from 4,096 of 20,480 values; the standard error of a ratio is near 0.02."""

SHARES = {"zero_share", "near_zero_mass_0_01", "near_zero_mass_0_1", "gaussian_ks_distance", "dip"}
DIPS = frozenset({"dip", "dip_ratio"})
PATHS = frozenset({"path_dip_ratio"})
"""Of the sample's 4,096 paths, whose threshold is another than that of all."""
SHAPES = {"skewness", "excess_kurtosis"}


def test_the_run_is_finished_and_all_of_it_is_judged(trained: Trained) -> None:
    assert trained.run["state"] == "finished"
    assert trained.run["last_step"] == STEPS
    assert trained.run["snapshots"]["judged"] == trained.run["snapshots"]["total"]
    assert trained.run["attempts"][0]["dropped"] == {}


def test_snapshots_are_dense_at_the_start_and_then_regular(trained: Trained) -> None:
    stored = trained.server.get(f"/api/v1/runs/{trained.run['id']}/snapshots")["items"]
    assert [s["step"] for s in stored] == [0, 1, 2, 4, 8, 16, 24, 32, 40, 48, 56, 64]


def snapshots(trained: Trained) -> list[int]:
    stored = trained.server.get(f"/api/v1/runs/{trained.run['id']}/snapshots")["items"]
    return [snapshot["step"] for snapshot in stored]


def expected(trained: Trained, name: str, step: int, previous: int | None) -> dict[str, float]:
    now, first = trained.seen[step][name], trained.seen[0][name]
    values = expected_elements(now)
    values["dip"] = expected_dip(now)
    values["dip_ratio"] = values["dip"] / max(0.0025, 0.75 / np.sqrt(now.size))
    if previous is not None:
        before = trained.seen[previous][name]
        values |= expected_motion(now, before, first, step - previous)
    if now.ndim > 1:
        values |= expected_spectrum(now)
    return values


@pytest.mark.parametrize(
    "name", ["blocks.0.mlp.up.bias", "blocks.1.mlp.up.bias", "head.weight", "head.bias"]
)
def test_every_stored_statistic_of_an_exact_tensor_equals_numpy(
    trained: Trained, name: str
) -> None:
    compare(trained, name, lambda _stat: (EXACT_TOLERANCE, EXACT_TOLERANCE))


def test_every_stored_statistic_of_a_bfloat16_vector_equals_numpy(trained: Trained) -> None:
    """The dip apart: on a 16-bit grid it is of values spread within their bins."""
    name = "blocks.1.mlp.down.bias"
    compare(trained, name, lambda _stat: (EXACT_TOLERANCE, EXACT_TOLERANCE), leave_out=DIPS)


def test_every_stored_statistic_of_a_bfloat16_matrix_equals_numpy(trained: Trained) -> None:
    """Its counts are lossless; only motion is sampled, and the dip is of interpolated bins."""
    sampled = {s.name for s in STATISTICS if s.family == "motion"}

    def tolerance(stat: str) -> tuple[float, float]:
        if stat in sampled:
            return SAMPLED_MOTION_TOLERANCE, SAMPLED_MOTION_TOLERANCE
        return (SPECTRUM_TOLERANCE if "rank" in stat or "norm" in stat else EXACT_TOLERANCE), 1e-12

    compare(trained, "blocks.0.mlp.down.weight", tolerance, leave_out=DIPS | PATHS)


def test_every_stored_statistic_of_a_large_float32_matrix_is_within_its_documented_tolerance(
    trained: Trained,
) -> None:
    sampled = {s.name for s in STATISTICS if s.family == "motion"}

    def tolerance(stat: str) -> tuple[float, float]:
        if stat in sampled:
            return SAMPLED_MOTION_TOLERANCE, SAMPLED_MOTION_TOLERANCE
        if stat in SHARES | {"dip_ratio"}:
            return 0.0, elements.ROUNDED_SHARE_TOLERANCE * (1 if stat in SHARES else 250)
        if stat in SHAPES:
            return elements.ROUNDED_SHAPE_TOLERANCE, elements.ROUNDED_SHAPE_TOLERANCE
        if stat in {"spectral_norm", "stable_rank", "effective_rank"}:
            return SPECTRUM_TOLERANCE, 0.0
        if "quantile" in stat:
            return elements.ROUNDED_QUANTILE_TOLERANCE, 1e-4
        return elements.ROUNDED_VALUE_TOLERANCE, 1e-4

    compare(trained, ROUNDED, tolerance, leave_out=PATHS)


def compare(trained, name, tolerance, *, leave_out=frozenset()):  # type: ignore[no-untyped-def]
    run_id = trained.run["id"]
    [tensor] = trained.server.get(f"/api/v1/runs/{run_id}/tensors?name={name}")["items"]
    steps = snapshots(trained)
    compared = set()
    for previous, step in zip([None, *steps], steps, strict=False):
        stored = trained.server.get(
            f"/api/v1/runs/{run_id}/tensors/{tensor['id']}/statistics?step={step}"
        )
        for stat, value in expected(trained, name, step, previous).items():
            if stat in leave_out or stored["values"][stat] is None:
                continue
            relative, absolute = tolerance(stat)
            assert stored["values"][stat] == pytest.approx(value, rel=relative, abs=absolute), (
                f"{stat} of {name} at step {step}"
            )
            compared.add(stat)
    expected_names = set(expected(trained, name, steps[-1], steps[-2])) - set(leave_out)
    assert compared == expected_names, "every statistic had a value at some step"


def test_the_logged_loss_is_a_series(trained: Trained) -> None:
    loss = trained.server.get(f"/api/v1/runs/{trained.run['id']}/scalars/loss")
    assert loss["steps"] == snapshots(trained)[2:], "logged after a step, told by the next one"
    assert all(np.isfinite(loss["mean"]))


def test_metrics_parse_and_agree_with_rest(trained: Trained) -> None:
    families = text_string_to_metric_families(trained.server.get("/metrics"))
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }
    run = (("project", "e2e"), ("run", "sound"))
    assert samples[("bifurk_last_snapshot_step", *run)] == STEPS
    assert samples[("bifurk_run_state", *run, ("state", "finished"))] == 1
    series = trained.server.get(f"/api/v1/runs/{trained.run['id']}/series?stat=std&role=mlp.up")
    newest = [one["values"][-1] for one in series["items"]]
    labels = (("over", "median"), *run[:1], ("role", "mlp.up"), *run[1:])
    key = ("bifurk_weight_std", *sorted(labels))
    assert samples[key] == pytest.approx(np.median(newest))


def test_an_unannounced_fault_is_told_in_a_sentence(faulty: Trained) -> None:
    alerts = faulty.server.get(
        f"/api/v1/alerts?run={faulty.run['id']}&severity=warning&severity=critical"
    )["items"]
    [alert] = [a for a in alerts if a["kind"] == "regime_shift" and a["statistic"] == "std"]
    assert {tensor["layer"] for tensor in alert["tensors"]} == {1}
    seen = alert["detected_step"]
    assert FAULT_STEP <= seen <= FAULT_STEP + 10
    told = (
        "faulty: the spread of the weights became 3x larger in 4 of 10 tensors, all of layer 1. "
        f"Began between steps {FAULT_STEP - 1} and {FAULT_STEP}, seen at {seen}. "
        "The largest singular value and weight updates shifted as well. "
        "N other tensors shifted in its wake. "
        "Last checkpoint before: step 20, ckpt/20.pt."
    )
    assert re.sub(r"\d+ other", "N other", alert["sentence"]) == told


def test_the_sound_run_has_no_warning(trained: Trained) -> None:
    alerts = trained.server.get(
        f"/api/v1/alerts?run={trained.run['id']}&severity=warning&severity=critical"
    )
    assert alerts["items"] == []
