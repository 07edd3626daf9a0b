"""The values of one tensor at both sides of a comparison, over the same bins."""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bifurk_service.api.stored_parts import stored_distribution
from bifurk_service.errors import NotFoundError
from bifurk_service.pages.compared import Compared, ComparedSide
from bifurk_service.pages.views import CompareView
from bifurk_service.services import Services
from bifurk_service.stats.distributions.density import DensityUnit, density, nothing_to_draw
from bifurk_service.stats.distributions.deviation import deviation
from bifurk_service.stats.distributions.distribution import Distribution

BINS: Final = 140
ROOM: Final = 0.03
"""Left and right of what is shown, of its width."""
BODY: Final = np.array([0.001, 0.999])
"""Probabilities at which the body ends."""
SMALLEST: Final = 0.01
"""Of magnitudes the body begins here: below, a logarithm shows the number format."""

Densities: TypeAlias = tuple[
    NDArray[np.float64], tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]
]
"""Edges float64 [BINS + 1] and of each side densities [BINS]; None where a side has none."""


def compared_densities(house: Services, found: Compared, view: CompareView) -> Densities | None:
    """Reads both; None where neither side has anything to draw."""
    sides = [_distribution(house, side, found.chosen, view.unit) for side in _sides(found)]
    known = [side for side in sides if side is not None]
    if not known:
        return None
    ends = [_ends(side, view) for side in known]
    low, high = _with_room(min(low for low, _ in ends), max(high for _, high in ends))
    this, other = (
        None
        if side is None
        else density(side, bins=BINS, unit=view.unit, low=low, high=high).density
        for side in sides
    )
    return np.linspace(low, high, BINS + 1), (this, other)


def _sides(found: Compared) -> tuple[ComparedSide, ...]:
    return (found.this, found.other) if found.chosen else ()


def _distribution(
    house: Services, side: ComparedSide, name: str, unit: DensityUnit
) -> Distribution | None:
    try:
        found = stored_distribution(house, side.snapshot, side.tensors[name])
    except NotFoundError:
        return None
    return None if nothing_to_draw(found, unit) else found


def _with_room(low: float, high: float) -> tuple[float, float]:
    """Equal values get room in proportion."""
    room = ROOM * (high - low) if low < high else abs(low) / 2 or 0.5
    return low - room, high + room


def _ends(distribution: Distribution, view: CompareView) -> tuple[float, float]:
    """Where the picture begins and ends in the drawn unit: the body, or the extremes."""
    whole = density(distribution, bins=1, unit=view.unit)
    if view.span == "all":
        return float(whole.edges[0]), float(whole.edges[-1])
    if view.unit == "log_magnitude":
        [low] = distribution.magnitudes().quantiles(np.array([SMALLEST])).tolist()
        lowest = np.log10(low) if low > 0 else whole.edges[0]
        return float(max(lowest, whole.edges[0])), float(whole.edges[-1])
    low, high = distribution.quantiles(BODY).tolist()
    sigma = deviation(distribution) if view.unit == "sigma" else 1.0
    return low / sigma, high / sigma
