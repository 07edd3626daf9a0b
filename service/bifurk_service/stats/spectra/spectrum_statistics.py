"""The statistics of a matrix's spectrum, by the names of the registry."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.stats.spectra.noise_bulk import HARD_EDGE, ZERO_SINGULAR_VALUE, BulkFit
from bifurk_service.stats.spectra.power_law import PowerLaw
from bifurk_service.stats.spectra.singular_vectors import (
    MINIMUM_LENGTH,
    VectorShape,
    normality,
    subspace_overlap,
)
from bifurk_service.stats.spectra.spectrum_pass import Pass
from bifurk_service.stats.value import INCOMPARABLE, NO_EARLIER, NoValue, Value

NO_VECTORS: Final = NoValue("singular vectors are measured on a slower schedule: not this time")
SHORT_VECTORS: Final = NoValue(
    f"singular vectors of {MINIMUM_LENGTH} components or fewer are not compared with a law"
)
SINGULAR: Final = NoValue("the smallest singular value is zero")
NO_WEAKEST: Final = NoValue("the smallest singular values are zero: their vectors are arbitrary")

Floats = NDArray[np.float64]
Statistics = dict[str, Value]


def rank_statistics(singular: Floats, *, energy: float) -> Statistics:
    """Ranks and conditioning of a descending spectrum whose squares sum to ``energy``."""
    largest, smallest = float(singular[0]), float(singular[-1])
    resolved = smallest > ZERO_SINGULAR_VALUE * largest
    return {
        "stable_rank": energy / largest**2,
        "effective_rank": _effective_rank(singular),
        "condition_number": largest / smallest if resolved else SINGULAR,
    }


def raw_bulk_statistics(
    bulk: BulkFit | NoValue, largest: float, shape: VectorShape | NoValue
) -> Statistics:
    """What the noise of the matrix as it is says; ``largest`` in the fit's unit."""
    return {
        "mp_sigma": bulk if isinstance(bulk, NoValue) else bulk.sigma,
        "mp_soft_rank": bulk if isinstance(bulk, NoValue) else (bulk.upper_edge / largest) ** 2,
        "spectrum_outliers_raw": bulk if isinstance(bulk, NoValue) else float(bulk.above),
        "outlier_constant_overlap": shape
        if isinstance(shape, NoValue)
        else max(shape.row_constant_overlap, shape.column_constant_overlap),
    }


def biwhitened_statistics(white: Pass | NoValue) -> Statistics:
    """What the noise of the biwhitened matrix says."""
    names = (
        "mp_ks_distance",
        "mp_ks_ratio",
        "spectrum_outliers",
        "spectrum_outliers_below",
        "outlier_strength",
        "outlier_participation",
    )
    bulk = white if isinstance(white, NoValue) else white.bulk
    if isinstance(white, NoValue) or isinstance(bulk, NoValue):
        assert isinstance(bulk, NoValue)  # of the two, one has no value
        return dict.fromkeys(names, bulk)
    shape = white.largest
    values: tuple[Value, ...] = (
        bulk.ks_distance,
        bulk.ks_distance / bulk.ks_null_99,
        float(bulk.above),
        HARD_EDGE if bulk.lower_threshold is None else float(bulk.below),
        float(white.singular[0]) / bulk.upper_threshold,
        shape
        if isinstance(shape, NoValue)
        else min(shape.row_participation, shape.column_participation),
    )
    return dict(zip(names, values, strict=True))


def power_law_statistics(power_law: PowerLaw | NoValue) -> Statistics:
    """The exponent and what it rests on."""
    names = ("power_law_alpha", "power_law_xmin", "power_law_ks_distance", "power_law_tail_count")
    if isinstance(power_law, NoValue):
        return dict.fromkeys(names, power_law)
    values = (
        power_law.alpha,
        power_law.x_min,
        power_law.ks_distance,
        float(power_law.tail_count),
    )
    return dict(zip(names, values, strict=True))


def vector_statistics(raw: Pass, first: NDArray[np.float32] | None, *, asked: bool) -> Statistics:
    """What the leading and the trailing singular vectors along the shorter side say."""
    if not asked:
        return dict.fromkeys(
            ("top_vector_normality", "bottom_vector_normality", "subspace_overlap_to_first"),
            NO_VECTORS,
        )
    long_enough = raw.leading.shape[0] > MINIMUM_LENGTH
    return {
        "top_vector_normality": normality(raw.leading) if long_enough else SHORT_VECTORS,
        "bottom_vector_normality": _bottom_normality(raw),
        "subspace_overlap_to_first": _overlap(raw.leading, first),
    }


def _effective_rank(singular: Floats) -> float:
    share = singular[singular > 0] / singular.sum()
    # A share may underflow to zero, where p ln p is zero as well.
    share = share[share > 0]
    return math.exp(-float(share @ np.log(share)))


def _bottom_normality(raw: Pass) -> Value:
    if raw.trailing.shape[0] <= MINIMUM_LENGTH:
        return SHORT_VECTORS
    if raw.singular[-1] <= ZERO_SINGULAR_VALUE * raw.singular[0]:
        return NO_WEAKEST
    return normality(raw.trailing)


def _overlap(now: Floats, first: NDArray[np.float32] | None) -> Value:
    if first is None:
        return NO_EARLIER
    if first.shape[0] != now.shape[0]:
        return INCOMPARABLE
    # Rows that are zero for a while leave fewer vectors.
    rank = min(first.shape[1], now.shape[1])
    return subspace_overlap(now[:, :rank], first[:, :rank])
