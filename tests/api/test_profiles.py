"""A model across its layers over REST: by depth, by kind, by spectrum, and how it drifts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from bifurk_service.stats.rows.profile import PROFILE_STATISTICS
from tests.api.filling import Caller, Filled
from tests.api.layered import LAYERS, WIDTHS, layered_part, matrix

SNAPSHOTS = 3


@pytest.fixture(scope="module")
def layered(anyone: Caller) -> int:
    """The id of a run of several layers."""
    for sequence in range(SNAPSHOTS):
        anyone.post_part(layered_part(sequence, "deep"))
    run = anyone.run_id("layered", "deep")
    anyone.wait_until_judged(run, SNAPSHOTS)
    return run


def profile(anyone: Caller, run: int, query: str = "") -> Any:
    return anyone.get(f"/api/v1/runs/{run}/profile{query}")


def test_a_statistic_comes_by_depth_and_role_with_its_rank_correlation(
    anyone: Caller, layered: int
) -> None:
    found = profile(anyone, layered, "?step=10&stat=std")
    assert [one["role"] for one in found["depth"]] == sorted(WIDTHS)
    for one in found["depth"]:
        stds = [matrix(one["role"], layer, 1).std(dtype=np.float64) for layer in range(LAYERS)]
        assert one["layers"] == list(range(LAYERS))
        assert one["values"] == pytest.approx(stds, rel=1e-6)
        assert one["spearman"] == pytest.approx(stats.spearmanr(range(LAYERS), stds).statistic)
        assert one["no_value"] is None


def test_any_statistic_may_be_asked_for(anyone: Caller, layered: int) -> None:
    found = profile(anyone, layered, "?stat=spectral_norm")
    [query] = [one for one in found["depth"] if one["role"] == "attention.query"]
    norms = [
        np.linalg.norm(matrix("attention.query", layer, SNAPSHOTS - 1).astype(np.float64), 2)
        for layer in range(LAYERS)
    ]
    assert query["values"] == pytest.approx(norms, rel=1e-6)


def test_widths_of_the_projections_are_relative(anyone: Caller, layered: int) -> None:
    found = profile(anyone, layered)["projection_std"]
    assert set(found) == set(WIDTHS)
    assert np.linalg.norm(list(found.values())) == pytest.approx(1)


def test_projections_are_grouped_by_their_spectra(anyone: Caller, layered: int) -> None:
    clusters = {one["rank"]: one for one in profile(anyone, layered)["clusters"]}
    assert set(clusters) == {16, 64}
    for one in clusters.values():
        assert one["no_value"] is None
        assert len(one["names"]) == len(one["labels"]) == LAYERS * len(WIDTHS)
        assert one["kinds"] == sorted(WIDTHS)
        assert np.sum(one["composition"], axis=1) == pytest.approx(1)
        assert 0 <= one["explained"] <= 1


def test_leading_values_are_compared_between_layers(anyone: Caller, layered: int) -> None:
    found = {one["role"]: one for one in profile(anyone, layered)["leading_values"]}
    assert set(found) == set(WIDTHS)
    distances = np.array(found["mlp.up"]["distances"])
    assert distances.shape == (LAYERS, LAYERS)
    assert np.allclose(distances, distances.T)
    leading = [
        np.linalg.svd(matrix("mlp.up", layer, SNAPSHOTS - 1), compute_uv=False)[:16].astype(float)
        for layer in (0, 1)
    ]
    cosine = leading[0] @ leading[1] / np.prod([np.linalg.norm(one) for one in leading])
    assert distances[0, 1] == pytest.approx(1 - cosine, abs=1e-7)
    for one in found.values():
        for tail in (one["value_tail"], one["distance_tail"]):
            assert (tail["exponent"] is None) != (tail["no_value"] is None)


def test_drift_is_from_the_first_snapshot(anyone: Caller, layered: int) -> None:
    at_first = profile(anyone, layered, "?step=0")
    assert at_first["first_step"] == 0
    assert at_first["drift"]["projection_std"] == pytest.approx(0, abs=1e-12)
    assert at_first["drift"]["composition"] == {"16": 0, "64": 0}
    later = profile(anyone, layered)["drift"]
    assert later["projection_std"] > 0
    assert later["no_value"] == {}


def test_drift_is_told_from_another_run_too(anyone: Caller, layered: int) -> None:
    anyone.post_part(layered_part(0, "twin"))
    twin = anyone.run_id("layered", "twin")
    anyone.wait_until_judged(twin, 1)
    found = profile(anyone, layered, f"?step=0&against={twin}")
    named = {"project": "layered", "run": "twin", "attempt": "first", "thinned": []}
    assert found["against"] == {"run_id": twin, **named, "step": 0}
    assert found["against_drift"]["projection_std"] == pytest.approx(0, abs=1e-12)
    assert found["against_drift"]["moved"] == {"16": 0, "64": 0}
    assert profile(anyone, layered)["against"] is None


def test_a_model_without_layers_to_speak_of_says_why(anyone: Caller, filled: Filled) -> None:
    found = profile(anyone, filled.run, "?step=20")
    assert {one["no_value"] for one in found["depth"]} == {"fewer than 4 layers have a value"}
    assert "projection_std" in found["no_value"] or found["projection_std"]
    assert all(one["no_value"] for one in found["clusters"])
    assert set(found["drift"]["no_value"]) >= {"composition_16", "moved_64"}


def test_stored_series_of_profiles_are_those_of_the_profile(anyone: Caller, layered: int) -> None:
    name = "std_depth_correlation"
    series = anyone.get(f"/api/v1/runs/{layered}/profile/series?name={name}")["items"]
    assert [one["role"] for one in series] == sorted(WIDTHS)
    steps = [sequence * 10 for sequence in range(SNAPSHOTS)]
    for one in series:
        assert (one["name"], one["steps"]) == (name, steps)
        assert one["values"] == [
            depth["spearman"]
            for step in steps
            for depth in profile(anyone, layered, f"?step={step}")["depth"]
            if depth["role"] == one["role"]
        ]
    [alone] = anyone.get(f"/api/v1/runs/{layered}/profile/series?name={name}&role=mlp.up")["items"]
    assert alone["role"] == "mlp.up"
    [drift] = anyone.get(f"/api/v1/runs/{layered}/profile/series?name=projection_std_drift")[
        "items"
    ]
    assert drift["role"] == ""
    assert len(drift["values"]) == SNAPSHOTS


def test_the_table_of_statistics_across_layers_is_served(anyone: Caller) -> None:
    served = anyone.get("/api/v1/profiles")["items"]
    assert [row["name"] for row in served] == [row.name for row in PROFILE_STATISTICS]
