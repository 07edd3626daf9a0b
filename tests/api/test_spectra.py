"""The spectrum of a matrix over REST, against numpy; and why there is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bifurk.wire import Part
from tests.api.filling import Caller, Filled
from tests.parts import make_part, weights_at

LARGE, SMALL = "blocks.0.mlp.up.weight", "blocks.0.mlp.down.weight"
SINGULAR_VALUE_TOLERANCE = 1e-6
"""Relative: stored as float32."""


def part(sequence: int, *, full: bool) -> Part:
    return make_part(sequence, project="spectra", run="now-and-then", full=full)


@pytest.fixture(scope="module")
def sparse(anyone: Caller) -> tuple[str, dict[str, int]]:
    """A run whose large matrix came in full at step 10 alone: its path, and ids by name."""
    for sequence in range(4):
        anyone.post_part(part(sequence, full=sequence == 1))
    run = anyone.run_id("spectra", "now-and-then")
    anyone.wait_until_judged(run, 4)
    tensors = anyone.get(f"/api/v1/runs/{run}/tensors")["items"]
    return f"/api/v1/runs/{run}/tensors", {t["name"]: t["id"] for t in tensors}


def spectrum(anyone: Caller, sparse: tuple[str, dict[str, int]], name: str, query: str) -> Any:
    base, ids = sparse
    return anyone.get(f"{base}/{ids[name]}/spectrum{query}")


@pytest.mark.parametrize(("name", "sequence"), [(LARGE, 1), (SMALL, 2)])
def test_singular_values_are_numpys(
    anyone: Caller, sparse: tuple[str, dict[str, int]], name: str, sequence: int
) -> None:
    found = spectrum(anyone, sparse, name, f"?step={10 * sequence}")
    matrix = weights_at(sequence)[name].astype(np.float64)
    assert (found["rows"], found["columns"], found["count"]) == (*matrix.shape, min(matrix.shape))
    assert found["ranks"] == list(range(1, min(matrix.shape) + 1))
    assert found["singular_values"] == pytest.approx(
        np.linalg.svd(matrix, compute_uv=False), rel=SINGULAR_VALUE_TOLERANCE
    )


def test_the_curve_is_a_density_over_the_bulk(
    anyone: Caller, sparse: tuple[str, dict[str, int]]
) -> None:
    found = spectrum(anyone, sparse, LARGE, "?step=10")
    curve = found["curve"]
    assert np.trapezoid(curve["density"], curve["values"]) == pytest.approx(1, abs=1e-3)
    assert curve["values"][0] == pytest.approx(curve["lower_edge"])
    assert curve["values"][-1] == pytest.approx(curve["upper_edge"])
    # Pure noise of this deviation: a fit that is right lies close to it.
    assert curve["sigma"] == pytest.approx(weights_at(1)[LARGE].std(), rel=0.03)
    assert curve["sigma"] == found["raw"]["sigma"]
    inside = np.mean(
        (np.array(found["singular_values"]) > 0.97 * curve["lower_edge"])
        & (np.array(found["singular_values"]) < 1.03 * curve["upper_edge"])
    )
    assert inside == 1.0


def test_outliers_are_told_raw_and_biwhitened(
    anyone: Caller, sparse: tuple[str, dict[str, int]]
) -> None:
    found = spectrum(anyone, sparse, LARGE, "?step=10")
    for fit in (found["raw"], found["biwhitened"]):
        assert fit["outliers"] == []
    assert found["power_law"]


def test_the_newest_spectrum_before_the_step_answers_with_its_own_step(
    anyone: Caller, sparse: tuple[str, dict[str, int]]
) -> None:
    for step in (10, 20, 30):
        found = spectrum(anyone, sparse, LARGE, f"?step={step}")
        assert (found["step"], found["asked_step"]) == (10, step)
    assert spectrum(anyone, sparse, LARGE, "")["asked_step"] == 30
    assert spectrum(anyone, sparse, SMALL, "")["step"] == 30


def test_without_a_spectrum_the_answer_says_why_and_where_the_nearest_is(
    anyone: Caller, sparse: tuple[str, dict[str, int]]
) -> None:
    base, ids = sparse
    status, problem = anyone.request("GET", f"{base}/{ids[LARGE]}/spectrum?step=0")
    assert status == 404
    assert "full values were not sent" in problem["detail"]
    assert "the nearest spectrum is at step 10" in problem["detail"]
    bias = ids["blocks.0.mlp.up.bias"]
    status, problem = anyone.request("GET", f"{base}/{bias}/spectrum")
    assert status == 404
    assert "not a matrix" in problem["detail"]
    assert "none at any step" in problem["detail"]


@pytest.mark.parametrize("points", [4, 5, 50, 119, 120, 1000])
def test_a_thinned_spectrum_keeps_the_largest_and_the_smallest(
    anyone: Caller, sparse: tuple[str, dict[str, int]], points: int
) -> None:
    whole = spectrum(anyone, sparse, LARGE, "")
    thinned = spectrum(anyone, sparse, LARGE, f"?points={points}")
    ranks = thinned["ranks"]
    assert len(ranks) == min(points, 120)
    assert sorted(set(ranks)) == ranks
    assert ranks[: points // 2] == list(range(1, min(points // 2, 120) + 1))
    assert ranks[-1] == thinned["count"] == 120
    values = whole["singular_values"]
    assert thinned["singular_values"] == [values[rank - 1] for rank in ranks]


def test_a_resumed_run_goes_on_from_the_spectra_before(anyone: Caller) -> None:
    anyone.post_part(make_part(0, project="spectra", run="resumed"))
    run = anyone.run_id("spectra", "resumed")
    anyone.wait_until_judged(run, 1)
    again = {"attempt": "second", "step": 10, "previous_step": None}
    anyone.post_part(make_part(0, project="spectra", run="resumed", full=False, **again))
    anyone.wait_until_judged(run, 2)
    [tensor, *_] = anyone.get(f"/api/v1/runs/{run}/tensors?name={LARGE}")["items"]
    assert anyone.get(f"/api/v1/runs/{run}/tensors/{tensor['id']}/spectrum")["step"] == 0


def test_a_matrix_that_is_not_finite_has_no_spectrum_and_says_so(
    anyone: Caller, filled: Filled
) -> None:
    [bias, *_] = anyone.get(f"/api/v1/runs/{filled.run}/tensors?role=bias")["items"]
    path = f"/api/v1/runs/{filled.run}/tensors/{bias['id']}/spectrum?step=50"
    assert anyone.request("GET", path)[0] == 404
