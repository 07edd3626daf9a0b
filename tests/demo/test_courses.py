"""Densities and spreads are put together without losing or inventing anything."""

from __future__ import annotations

import numpy as np
import pytest

from bifurk_service.demo.api import Distribution, Series
from bifurk_service.demo.courses import DensityCourse, density_course, spread_map


def distribution(step: int, density: list[float], *, reach: float = 3.0) -> Distribution:
    edges = np.linspace(-reach, reach, len(density) + 1)
    return Distribution(step=step, edges=edges, density=np.array(density))


def series(tensor: str, steps: list[int], values: list[float]) -> Series:
    return Series(tensor=tensor, layer=None, steps=np.array(steps), values=np.array(values))


def test_densities_stand_beside_each_other_in_the_order_of_their_steps() -> None:
    course = density_course([distribution(0, [0.1, 0.2]), distribution(10, [0.3, 0.0])])
    assert course.steps.tolist() == [0, 10]
    assert course.edges.tolist() == [-3.0, 0.0, 3.0]
    assert course.density.tolist() == [[0.1, 0.2], [0.3, 0.0]]


def test_densities_over_other_edges_are_refused_with_their_step() -> None:
    with pytest.raises(ValueError, match="edges at step 10 differ"):
        density_course([distribution(0, [0.1, 0.2]), distribution(10, [0.3, 0.0], reach=4.0)])


def test_a_course_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one distribution"):
        density_course([])


def test_a_course_refuses_a_density_of_another_shape() -> None:
    with pytest.raises(ValueError, match=r"shape \(2, 3\), got \(3, 2\)"):
        DensityCourse(steps=np.arange(2), edges=np.arange(4.0), density=np.zeros((3, 2)))


def test_a_spread_that_triples_stands_out_by_the_logarithm_of_three() -> None:
    spread = spread_map([series("a", [1, 2, 3, 4], [0.1, 0.1, 0.1, 0.3])])
    assert spread.log2_ratio[0] == pytest.approx([0, 0, 0, np.log2(3)])


def test_series_meet_at_the_steps_they_share() -> None:
    spread = spread_map([series("a", [1, 2, 3], [1, 2, 4]), series("b", [2, 3, 4], [8, 8, 8])])
    assert spread.steps.tolist() == [2, 3]
    assert spread.log2_ratio.tolist() == [[-0.5, 0.5], [0.0, 0.0]]


def test_what_has_no_logarithm_is_missing_and_disturbs_nothing() -> None:
    spread = spread_map(
        [series("a", [1, 2, 3], [0.0, np.nan, 5.0]), series("b", [1, 2, 3], [0, 0, 0])]
    )
    assert np.isnan(spread.log2_ratio).tolist() == [[True, True, False], [True, True, True]]
    assert spread.log2_ratio[0, 2] == 0.0


def test_a_spread_map_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one series"):
        spread_map([])
