"""Numbers over steps and at a step: right, filtered, thinned without losing a spike."""

from __future__ import annotations

import numpy as np
import pytest

from bifurk_service.stats.registry import STATISTICS
from bifurk_service.stats.thinning import thin, thin_intervals
from tests.api.filling import BROKEN_AT, SNAPSHOTS, Caller, Filled, broken_part

STEPS = [sequence * 10 for sequence in range(SNAPSHOTS)]


def weights(sequence: int, name: str) -> np.ndarray:
    [tensor] = [part for part in broken_part(sequence).tensors if part.name == name]
    carried = tensor.full or tensor.values
    assert carried is not None
    return carried.float64()


def test_a_series_is_what_numpy_says(anyone: Caller, filled: Filled) -> None:
    for series in anyone.get(f"/api/v1/runs/{filled.run}/series?stat=std")["items"]:
        name = series["tensor"]["name"]
        assert series["steps"] == STEPS
        expected = [np.nanstd(weights(sequence, name)) for sequence in range(SNAPSHOTS)]
        assert series["values"] == pytest.approx(expected, rel=1e-4)


def test_a_series_can_be_cut_to_steps_both_included(anyone: Caller, filled: Filled) -> None:
    path = f"/api/v1/runs/{filled.run}/series?stat=std&role=bias"
    for query, steps in (
        ("from=20&to=40", [20, 30, 40]),
        ("from=35", [40, 50]),
        ("to=0", [0]),
        ("from=51", []),
    ):
        assert all(one["steps"] == steps for one in anyone.get(f"{path}&{query}")["items"])


def test_a_step_without_a_value_is_null_and_says_why(anyone: Caller, filled: Filled) -> None:
    path = f"/api/v1/runs/{filled.run}"
    series = anyone.get(f"{path}/series?stat=update_ratio&tensor=*up.weight")["items"][0]
    assert series["values"][0] is None
    assert None not in series["values"][1:]
    at_first = anyone.get(f"{path}/tensors/{filled.tensor}/statistics?step=0")
    assert at_first["values"]["update_ratio"] is None
    assert "no earlier snapshot" in at_first["no_value"]["update_ratio"]


def test_statistics_at_a_step_name_every_row_of_the_table(anyone: Caller, filled: Filled) -> None:
    at = anyone.get(f"/api/v1/runs/{filled.run}/tensors/{filled.tensor}/statistics?step=20")
    assert set(at["values"]) == {statistic.name for statistic in STATISTICS}
    assert at["step"] == 20
    without = {name for name, value in at["values"].items() if value is None}
    assert without == set(at["no_value"])


def test_a_class_is_said_in_words(anyone: Caller, filled: Filled) -> None:
    labels = {row["name"]: row["labels"] for row in anyone.get("/api/v1/stats")["items"]}
    at = anyone.get(f"/api/v1/runs/{filled.run}/tensors/{filled.tensor}/statistics?step=20")
    assert at["words"] == {"shape_class": labels["shape_class"][int(at["values"]["shape_class"])]}
    assert at["words"]["shape_class"] == "gaussian"
    assert labels["std"] == []


def test_without_a_step_the_last_one_answers(anyone: Caller, filled: Filled) -> None:
    for what in ("statistics", "distribution"):
        at = anyone.get(f"/api/v1/runs/{filled.run}/tensors/{filled.tensor}/{what}")
        assert at["step"] == STEPS[-1]


def test_names_with_slashes_are_scalars_too(anyone: Caller, filled: Filled) -> None:
    plain = anyone.get(f"/api/v1/runs/{filled.run}/scalars/loss")
    slashed = anyone.get(f"/api/v1/runs/{filled.run}/scalars/train/loss")
    encoded = anyone.get(f"/api/v1/runs/{filled.run}/scalars/train%2Floss")
    assert plain["steps"] == slashed["steps"] == encoded["steps"] == STEPS
    assert slashed["mean"] == pytest.approx([1 / (1 + sequence) for sequence in range(SNAPSHOTS)])


def test_thinning_keeps_every_extreme_and_both_ends(anyone: Caller, filled: Filled) -> None:
    path = f"/api/v1/runs/{filled.run}/series?stat=nonfinite_count&role=bias"
    [whole, *_] = anyone.get(path)["items"]
    [thinned, *_] = anyone.get(f"{path}&points=4")["items"]
    assert len(thinned["steps"]) <= 4
    assert {thinned["steps"][0], thinned["steps"][-1]} == {STEPS[0], STEPS[-1]}
    assert max(thinned["values"]) == max(whole["values"]) == 1
    assert BROKEN_AT * 10 in thinned["steps"]
    assert (whole["reduced"], thinned["reduced"]) == (False, True)


def test_scalars_that_fit_are_given_whole(anyone: Caller, filled: Filled) -> None:
    whole, few = (
        anyone.get(f"/api/v1/runs/{filled.run}/scalars/loss{q}") for q in ("", "?points=8")
    )
    assert few == whole
    assert whole["reduced"] is False


@pytest.mark.parametrize("points", [8, 11, 100])
def test_thinned_intervals_keep_extreme_means_minima_and_maxima(points: int) -> None:
    mean, low, high = np.random.default_rng(points).standard_normal((3, 500))
    low[7] = mean[8] = np.nan
    kept = thin_intervals(mean, low, high, points)
    assert kept.size <= points
    assert {0, 499} <= set(kept.tolist())
    wanted = {np.nanargmin(mean), np.nanargmax(mean), np.nanargmin(low), np.nanargmax(high)}
    assert wanted <= set(kept.tolist())


@pytest.mark.parametrize("points", [4, 5, 10, 99, 1000])
@pytest.mark.parametrize("size", [0, 1, 4, 5, 37, 999, 1000, 1001, 5000])
def test_any_thinning_keeps_the_extremes_within_its_bound(points: int, size: int) -> None:
    values = np.random.default_rng([points, size]).standard_normal(size)
    values[size // 3 : size // 2] = np.nan
    kept = thin(values, points)
    assert kept.size <= points
    assert np.all(np.diff(kept) > 0)
    if size and not np.isnan(values).all():
        assert {0, size - 1} <= set(kept.tolist())
        assert np.nanmax(values[kept]) == np.nanmax(values)
        assert np.nanmin(values[kept]) == np.nanmin(values)


def test_a_distribution_is_numpys_histogram(anyone: Caller, filled: Filled) -> None:
    [bias] = [t for t in anyone.get(f"/api/v1/runs/{filled.run}/tensors")["items"]
              if t["name"].endswith("up.bias")]  # fmt: skip
    path = f"/api/v1/runs/{filled.run}/tensors/{bias['id']}/distribution?step=20"
    drawn = anyone.get(f"{path}&bins=7")
    density, edges = np.histogram(weights(2, bias["name"]), bins=7, density=True)
    assert drawn["density"] == pytest.approx(density)
    assert drawn["edges"] == pytest.approx(edges)
    assert (drawn["covered"], drawn["nonfinite"]) == (1.0, 0)
    cut = anyone.get(f"{path}&bins=3&low=-0.5&high=0.5&unit=sigma")
    in_sigmas = weights(2, bias["name"]) / weights(2, bias["name"]).std()
    assert cut["covered"] == pytest.approx(np.mean(np.abs(in_sigmas) <= 0.5), abs=0.01)
    assert cut["edges"] == pytest.approx([-0.5, -1 / 6, 1 / 6, 0.5])


def test_values_that_are_not_finite_are_counted_apart(anyone: Caller, filled: Filled) -> None:
    [bias, *_] = anyone.get(f"/api/v1/runs/{filled.run}/tensors?role=bias")["items"]
    path = f"/api/v1/runs/{filled.run}/tensors/{bias['id']}/distribution?step=50"
    drawn = anyone.get(path)
    assert drawn["nonfinite"] == 1
    assert drawn["finite"] == np.prod(bias["shape"]) - 1
