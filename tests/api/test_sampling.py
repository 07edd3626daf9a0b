"""Quantiles, shares, draws and pooled statistics of stored distributions, against the weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bifurk.exact import Exact
from bifurk.sketch import sketch
from bifurk.wire import TensorPart
from bifurk_service.api.sampling import DEFAULT_PROBABILITIES
from bifurk_service.stats.elements.element_table import ROUNDED_QUANTILE_TOLERANCE
from tests.api.filling import Caller, Filled
from tests.parts import SHAPES, make_part, make_tensor, weights_at

SMALL, LARGE = "blocks.0.mlp.down.weight", "blocks.0.mlp.up.weight"
STEP = 20
"""At which nothing is broken yet."""
ROUNDED_SHARE_TOLERANCE = 2.0**-8


@pytest.fixture(scope="module")
def ids(anyone: Caller, filled: Filled) -> dict[str, int]:
    """Tensor ids by name."""
    tensors = anyone.get(f"/api/v1/runs/{filled.run}/tensors")["items"]
    return {tensor["name"]: tensor["id"] for tensor in tensors}


def ask(anyone: Caller, filled: Filled, tensor: int, what: str) -> Any:
    return anyone.get(f"/api/v1/runs/{filled.run}/tensors/{tensor}/{what}")


def weights(name: str) -> NDArray[np.float64]:
    return weights_at(STEP // 10)[name].astype(np.float64).ravel()


def test_quantiles_are_numpys(anyone: Caller, filled: Filled, ids: dict[str, int]) -> None:
    query = f"quantiles?step={STEP}&p=0.9&p=0.1&p=0.1&p=0&p=1"
    small = ask(anyone, filled, ids[SMALL], query)
    assert small["probabilities"] == [0.9, 0.1, 0.1, 0, 1]
    assert small["values"] == pytest.approx(np.quantile(weights(SMALL), small["probabilities"]))
    assert (small["exact"], small["no_value"], small["step"]) == (True, None, STEP)
    large = ask(anyone, filled, ids[LARGE], query)
    true = np.quantile(weights(LARGE), large["probabilities"])
    assert large["values"] == pytest.approx(true, rel=ROUNDED_QUANTILE_TOLERANCE)
    assert large["exact"] is False


def test_without_a_probability_the_usual_ones_are_answered(
    anyone: Caller, filled: Filled, ids: dict[str, int]
) -> None:
    answer = ask(anyone, filled, ids[SMALL], f"quantiles?step={STEP}")
    assert answer["probabilities"] == list(DEFAULT_PROBABILITIES)
    assert answer["values"] == pytest.approx(np.quantile(weights(SMALL), DEFAULT_PROBABILITIES))


@pytest.mark.parametrize(
    ("query", "low", "high"),
    [("", -np.inf, np.inf), ("&low=0", 0, np.inf), ("&high=-0.01", -np.inf, -0.01),
     ("&low=-0.01&high=0.02", -0.01, 0.02), ("&low=5", 5, np.inf)],
)  # fmt: skip
@pytest.mark.parametrize("name", [SMALL, LARGE])
def test_a_probability_is_the_share_of_the_values(
    anyone: Caller, filled: Filled, ids: dict[str, int], name: str, query: str, low: float,
    high: float,
) -> None:  # fmt: skip
    answer = ask(anyone, filled, ids[name], f"probability?step={STEP}{query}")
    true = np.mean((weights(name) >= low) & (weights(name) < high))
    assert answer["probability"] == pytest.approx(
        true, abs=1e-12 if name == SMALL else ROUNDED_SHARE_TOLERANCE
    )


def test_a_probability_is_asked_for_in_deviations_too(
    anyone: Caller, filled: Filled, ids: dict[str, int]
) -> None:
    query = f"probability?step={STEP}&low=-1&high=1&unit=sigma"
    answer = ask(anyone, filled, ids[SMALL], query)
    scaled = weights(SMALL) / weights(SMALL).std()
    assert answer["probability"] == pytest.approx(np.mean((scaled >= -1) & (scaled < 1)), abs=1e-3)


def test_draws_are_the_same_for_the_same_seed(
    anyone: Caller, filled: Filled, ids: dict[str, int]
) -> None:
    query = f"draws?step={STEP}&size=500&seed=7"
    first = ask(anyone, filled, ids[SMALL], query)
    assert first["values"] == ask(anyone, filled, ids[SMALL], query)["values"]
    assert set(first["values"]) <= set(weights(SMALL).tolist())
    assert len(first["values"]) == 500
    other = ask(anyone, filled, ids[SMALL], f"draws?step={STEP}&size=500&seed=8")
    assert other["values"] != first["values"]


def test_as_many_draws_as_are_allowed_follow_the_weights(
    anyone: Caller, filled: Filled, ids: dict[str, int]
) -> None:
    answer = ask(anyone, filled, ids[LARGE], f"draws?step={STEP}&size=100000")
    assert np.std(answer["values"]) == pytest.approx(weights(LARGE).std(), rel=0.01)


def test_pooled_levels_are_those_of_all_values_together(anyone: Caller, filled: Filled) -> None:
    answer = anyone.get(f"/api/v1/runs/{filled.run}/pooled?step={STEP}&layer=0")
    together = np.concatenate([weights(name) for name in SHAPES])
    assert [tensor["name"] for tensor in answer["tensors"]] == list(SHAPES)
    values = answer["values"]
    assert values["count"] == together.size
    assert values["std"] == pytest.approx(together.std(), rel=1e-4)
    assert values["l2_norm"] == pytest.approx(np.linalg.norm(together), rel=1e-4)
    assert values["quantile_p95"] == pytest.approx(np.quantile(together, 0.95), rel=2**-7)


def test_shapes_are_not_fitted_to_pooled_tensors(anyone: Caller, filled: Filled) -> None:
    answer = anyone.get(f"/api/v1/runs/{filled.run}/pooled?step={STEP}&role=bias")
    assert answer["values"]["excess_kurtosis"] is None
    assert "not fitted to pooled" in answer["no_value"]["excess_kurtosis"]
    without = {name for name, value in answer["values"].items() if value is None}
    assert without == set(answer["no_value"])


def test_a_pool_of_one_is_that_tensor(anyone: Caller, filled: Filled, ids: dict[str, int]) -> None:
    pool = anyone.get(f"/api/v1/runs/{filled.run}/pooled?step={STEP}&tensor={SMALL}")
    alone = ask(anyone, filled, ids[SMALL], f"statistics?step={STEP}")
    known = {name: value for name, value in pool["values"].items() if value is not None}
    assert len(known) > 10
    assert known == {name: pytest.approx(alone["values"][name]) for name in known}


def test_a_pooled_distribution_is_numpys_histogram(anyone: Caller, filled: Filled) -> None:
    path = f"/api/v1/runs/{filled.run}/pooled/distribution?step={STEP}&role=bias&bins=9"
    answer = anyone.get(path)
    biases = np.concatenate([weights(name) for name in SHAPES if name.endswith("bias")])
    density, edges = np.histogram(biases, bins=9, density=True)
    assert answer["density"] == pytest.approx(density)
    assert answer["edges"] == pytest.approx(edges)


@pytest.fixture(scope="module")
def odd(anyone: Caller) -> tuple[str, dict[str, int]]:
    """A run of tensors that have little to say; one is left out at the second snapshot."""
    half = np.random.default_rng(0).standard_normal(20_000).astype(np.float16)
    tensors = (
        constant("nothing", np.nan),
        constant("zeros", 0.0),
        constant("ones", 1.0),
        TensorPart(
            name="half", shape=half.shape, dtype="float16", counts=sketch(half),
            sample=Exact(dtype="float16", data=half[:4096]),
        ),
        make_tensor("now and then", np.arange(100, dtype=np.float32)),
        make_tensor("counted", weights_at(0)[LARGE]),
    )  # fmt: skip
    for sequence in range(3):
        kept = tensors if sequence != 1 else tensors[:4]
        part = replace(make_part(sequence, run="odd", project="odd"), tensors=kept)
        anyone.post_part(part)
    run = anyone.run_id("odd", "odd")
    anyone.wait_until_judged(run, 3)
    base = f"/api/v1/runs/{run}"
    return base, {t["name"]: t["id"] for t in anyone.get(f"{base}/tensors")["items"]}


def constant(name: str, value: float) -> TensorPart:
    return make_tensor(name, np.full(64, value, dtype=np.float32))


def test_a_tensor_of_nan_alone_has_nothing_to_answer_with(
    anyone: Caller, odd: tuple[str, dict[str, int]]
) -> None:
    base, ids = odd
    path = f"{base}/tensors/{ids['nothing']}"
    quantiles = anyone.get(f"{path}/quantiles?p=0.5")
    assert (quantiles["values"], quantiles["no_value"]) == ([None], "no value is finite")
    assert anyone.get(f"{path}/probability?low=0")["probability"] is None
    assert anyone.get(f"{path}/draws")["values"] == []
    drawn = anyone.get(f"{path}/distribution")
    assert (drawn["finite"], drawn["nonfinite"], drawn["covered"]) == (0, 64, 0)


def test_a_constant_tensor_is_all_in_one_place(
    anyone: Caller, odd: tuple[str, dict[str, int]]
) -> None:
    base, ids = odd
    path = f"{base}/tensors/{ids['ones']}"
    assert set(anyone.get(f"{path}/quantiles")["values"]) == {1.0}
    assert set(anyone.get(f"{path}/draws?size=9")["values"]) == {1.0}
    assert anyone.get(f"{path}/probability?low=1")["probability"] == 1.0
    assert anyone.get(f"{path}/probability?high=1")["probability"] == 0.0
    in_deviations = anyone.get(f"{path}/probability?high=1&unit=sigma")
    assert in_deviations["probability"] is None
    assert in_deviations["no_value"] == "all values are equal"


@pytest.mark.parametrize("unit", ["weight", "sigma", "log_magnitude"])
@pytest.mark.parametrize("name", ["zeros", "ones", "half", "nothing"])
def test_every_unit_draws_every_tensor(
    anyone: Caller, odd: tuple[str, dict[str, int]], name: str, unit: str
) -> None:
    base, ids = odd
    drawn = anyone.get(f"{base}/tensors/{ids[name]}/distribution?unit={unit}&bins=10")
    widths = np.diff(drawn["edges"])
    assert np.sum(widths * drawn["density"]) == pytest.approx(drawn["covered"], abs=1e-9)
    without = {
        "nothing": ("weight", "sigma", "log_magnitude"),
        "zeros": ("sigma", "log_magnitude"),
        "ones": ("sigma",),
    }
    nowhere = unit in without.get(name, ())
    assert drawn["covered"] == pytest.approx(0 if nowhere else 1, abs=1e-3)
    assert (drawn["no_value"] is not None) == nowhere == (drawn["edges"] == [])


def test_a_snapshot_without_the_tensor_names_the_nearest_with_it(
    anyone: Caller, odd: tuple[str, dict[str, int]]
) -> None:
    base, ids = odd
    for what in ("distribution", "quantiles", "probability", "draws", "statistics"):
        path = f"{base}/tensors/{ids['now and then']}/{what}?step=10"
        status, problem = anyone.request("GET", path)
        assert status == 404
        assert "step 10 does not carry tensor" in problem["detail"]
        assert "the nearest that does is step " in problem["detail"]


def test_a_pool_says_what_the_snapshot_does_not_carry(
    anyone: Caller, odd: tuple[str, dict[str, int]]
) -> None:
    base, _ = odd
    answer = anyone.get(f"{base}/pooled?step=10&tensor=*n*")
    assert [tensor["name"] for tensor in answer["tensors"]] == ["nothing", "ones"]
    assert answer["not_carried"] == ["now and then", "counted"]
    assert answer["values"]["nonfinite_count"] == 64
    status, problem = anyone.request("GET", f"{base}/pooled?step=10&tensor=now*")
    assert (status, problem["where"]) == (404, "step")


def test_a_pool_of_nothing_finite_has_no_value(
    anyone: Caller, odd: tuple[str, dict[str, int]]
) -> None:
    base, _ = odd
    answer = anyone.get(f"{base}/pooled?tensor=nothing")
    assert answer["values"]["std"] is None
    assert answer["no_value"]["std"] == "no value is finite"


def test_counts_of_different_keys_are_not_pooled(
    anyone: Caller, odd: tuple[str, dict[str, int]]
) -> None:
    base, _ = odd
    for what in ("pooled", "pooled/distribution"):
        status, problem = anyone.request("GET", f"{base}/{what}?step=0")
        assert (status, problem["where"]) == (422, "tensor")
        assert "float16" in problem["detail"]


def test_a_pool_that_matches_nothing_is_not_found(
    anyone: Caller, odd: tuple[str, dict[str, int]]
) -> None:
    base, _ = odd
    for query in ("tensor=nowhere*", "role=norm", "layer=99"):
        status, problem = anyone.request("GET", f"{base}/pooled?{query}")
        assert (status, problem["where"]) == (404, "tensor")
