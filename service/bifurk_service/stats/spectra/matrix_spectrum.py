"""The measured spectrum of one matrix, and how it is told as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bifurk_service.stats.spectra.noise_bulk import HARD_EDGE, BulkFit
from bifurk_service.stats.spectra.power_law import PowerLaw
from bifurk_service.stats.spectra.spectrum_pass import Outlier
from bifurk_service.stats.value import NoValue, Value


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MatrixSpectrum:
    """Singular values of one matrix, and what random-matrix theory says of them.

    Attributes:
        rows, columns: of the matrix as it was read.
        singular_values: float64 [p], descending, in the weights' unit.
        raw: the noise bulk of the matrix as it is; in the weights' unit.
        biwhitened: of the matrix with the scales of rows and columns evened out.
        raw_outliers, outliers: what lies beyond the two bulks.
        power_law: of the eigenvalues' tail, unit weight^2.
        top_vectors: float32 [p, r], r <= 16, leading singular vectors along the shorter side; None
            where they were not asked for.
        statistics: every statistic of ``Family.SPECTRUM`` by name.
    """

    rows: int
    columns: int
    singular_values: NDArray[np.float64]
    raw: BulkFit | NoValue
    biwhitened: BulkFit | NoValue
    raw_outliers: tuple[Outlier, ...]
    outliers: tuple[Outlier, ...]
    power_law: PowerLaw | NoValue
    top_vectors: NDArray[np.float32] | None
    statistics: dict[str, Value]

    def document(self) -> dict[str, Any]:
        """The fits as JSON-ready dicts; ``{"no_verdict": reason}`` where there is none."""
        return {
            "raw": _bulk(self.raw, self.raw_outliers),
            "biwhitened": _bulk(self.biwhitened, self.outliers),
            "power_law": _no_verdict(self.power_law)
            if isinstance(self.power_law, NoValue)
            else asdict(self.power_law),
        }


def _bulk(fit: BulkFit | NoValue, outliers: Sequence[Outlier]) -> dict[str, Any]:
    if isinstance(fit, NoValue):
        return _no_verdict(fit)
    return {
        "p": fit.short,
        "n": fit.long,
        "sigma": fit.sigma,
        "lower_edge": fit.lower_edge,
        "upper_edge": fit.upper_edge,
        "lower_threshold": _no_verdict(HARD_EDGE)
        if fit.lower_threshold is None
        else fit.lower_threshold,
        "upper_threshold": fit.upper_threshold,
        "below": _no_verdict(HARD_EDGE) if fit.lower_threshold is None else fit.below,
        "above": fit.above,
        "ks_distance": fit.ks_distance,
        "ks_null_99": fit.ks_null_99,
        "outliers": [_outlier(outlier) for outlier in outliers],
    }


def _outlier(outlier: Outlier) -> dict[str, Any]:
    told: dict[str, Any] = {"value": outlier.value, "side": outlier.side}
    return told if outlier.vectors is None else told | asdict(outlier.vectors)


def _no_verdict(reason: NoValue) -> dict[str, str]:
    return {"no_verdict": reason.reason}
