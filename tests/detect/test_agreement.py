"""Which single findings bear each other out, and which do not."""

from __future__ import annotations

import pytest

from bifurk_service.detect.agreement import (
    ASPECTS,
    Rule,
    agreements,
    bears_witness,
    is_of_a_layer,
    is_population,
)
from bifurk_service.detect.finding import Finding
from bifurk_service.detect.registry import WATCHES
from bifurk_service.domain import TensorInfo
from bifurk_service.stats.registry import BY_NAME


def shift(
    tensor: int, statistic: str = "std", *, after: float = 3.0, sequence: int = 90
) -> Finding:
    return Finding(
        kind="regime_shift",
        statistic=statistic,
        log_scale=BY_NAME[statistic].log_scale,
        tensor=tensor,
        sequence=sequence,
        step=2 * sequence,
        onset_first_step=2 * sequence - 6,
        onset_last_step=2 * sequence - 4,
        before=1.0,
        after=after,
        score=2.0,
    )


def place(tensors: list[TensorInfo], name: str) -> int:
    return next(tensor.id for tensor in tensors if tensor.name == name)


def test_every_statistic_watched_for_shifts_has_an_aspect() -> None:
    (watch,) = (watch for watch in WATCHES if watch.kind == "regime_shift")
    assert set(watch.statistics) <= set(ASPECTS)


def test_one_series_is_no_agreement(tensors: list[TensorInfo]) -> None:
    assert agreements([shift(2)], tensors) == []


def test_three_tensors_of_one_layer_agree(tensors: list[TensorInfo]) -> None:
    (found,) = agreements([shift(2), shift(3), shift(4)], tensors)
    assert (found.rule, found.aspect, found.statistic) == (Rule.LAYER, "size", "std")


def test_three_tensors_of_three_layers_do_not(tensors: list[TensorInfo]) -> None:
    assert agreements([shift(2), shift(11), shift(20)], tensors) == []


def test_three_tensors_of_a_layer_in_three_aspects_do_not(tensors: list[TensorInfo]) -> None:
    mixed = [shift(2, "std"), shift(3, "update_ratio"), shift(4, "stable_rank")]
    assert agreements(mixed, tensors) == []


def test_tensors_without_a_layer_are_no_layer(tensors: list[TensorInfo]) -> None:
    bare = [
        TensorInfo(id=i, name=f"w{i}", layer=None, role="other", shape=(9, 9)) for i in range(20)
    ]
    assert agreements([shift(2), shift(3), shift(4)], bare) == []


def test_near_duplicates_of_one_tensor_are_one_witness(tensors: list[TensorInfo]) -> None:
    same = [shift(2, "std"), shift(2, "spectral_norm"), shift(2, "update_ratio")]
    assert agreements(same, tensors) == []


def test_three_aspects_of_one_tensor_agree(tensors: list[TensorInfo]) -> None:
    findings = [
        shift(2, "stable_rank", after=0.8),
        shift(2, "spectral_norm"),
        shift(2, "update_ratio"),
    ]
    (found,) = agreements(findings, tensors)
    assert (found.rule, found.statistic) == (Rule.TENSOR, "spectral_norm")


def test_three_aspects_that_hardly_changed_do_not(tensors: list[TensorInfo]) -> None:
    findings = [
        shift(2, statistic, after=1.15) for statistic in ("stable_rank", "std", "update_ratio")
    ]
    assert agreements(findings, tensors) == []


@pytest.mark.parametrize("statistic", ["excess_kurtosis", "shape_class", "dip_ratio"])
def test_the_shape_of_a_few_values_bears_no_witness(
    statistic: str, tensors: list[TensorInfo]
) -> None:
    for name in ("norm.weight", "mlp.up.bias", "mlp.down.bias"):
        small = shift(place(tensors, f"blocks.3.{name}"), statistic)
        assert not bears_witness(small, tensors)
        assert bears_witness(shift(small.tensor, "std"), tensors)
    assert bears_witness(shift(place(tensors, "blocks.3.mlp.up.weight"), statistic), tensors)


def test_three_tensors_are_of_a_layer_only_where_they_share_it(tensors: list[TensorInfo]) -> None:
    names = ("mlp.up", "mlp.down", "attention.qkv")
    together = [shift(place(tensors, f"blocks.3.{name}.weight")) for name in names]
    apart = [shift(place(tensors, f"blocks.{n}.{name}.weight")) for n, name in enumerate(names)]
    assert is_of_a_layer(together, tensors)
    assert not is_of_a_layer([*together[:2], together[0]], tensors)
    assert not is_of_a_layer(apart, tensors)


@pytest.mark.parametrize("statistic", ["std", "update_ratio"])
def test_a_quarter_of_the_tensors_is_the_population(
    statistic: str, tensors: list[TensorInfo]
) -> None:
    quarter = [shift(i, statistic) for i in range(0, len(tensors), 4)]
    assert len(quarter) == 10
    assert agreements(quarter, tensors)[0].rule is Rule.POPULATION
    rules = {found.rule for found in agreements(quarter[:-1], tensors)}
    assert Rule.POPULATION not in rules


def test_of_five_tensors_three_are_the_population_and_two_are_not() -> None:
    assert is_population([0, 1, 2], of=5)
    assert not is_population([0, 1, 1], of=5)
