"""Products of two tensors, measured without building them: an adapter's update of a frozen matrix.

With the thin decompositions left = Q_l R_l and right^T = Q_r R_r, the product left x right is
Q_l (R_l R_r^T) Q_r^T: its singular values are those of the small matrix in the middle, at most
r x r for factors of rank r (Golub and Van Loan 2013, section 5.2 for the decomposition).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bifurk.exact import Exact
from bifurk.wire import Product
from bifurk_service.stats.measure import TensorInput
from bifurk_service.stats.registry import STATISTICS
from bifurk_service.stats.spectra.matrix_spectrum import MatrixSpectrum
from bifurk_service.stats.spectra.spectrum_statistics import rank_statistics
from bifurk_service.stats.value import (
    ALL_ZERO,
    NO_CONVERGENCE,
    NOT_FINITE,
    TOO_LARGE,
    NoValue,
    Value,
)

SUFFIX: Final = "[product]"
"""Behind the left factor's name."""
SPECTRUM_ALONE: Final = NoValue("of a product of two factors only the spectrum is measured")
NO_NOISE: Final = NoValue("a product of two factors has no noise of its own to compare with")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MeasuredProduct:
    """One product at one snapshot.

    Attributes:
        name: the left factor's with ``SUFFIX``. of: the left factor's. shape: of the product.
        spectrum: or why there is none. values: every registered statistic by name.
    """

    name: str
    of: str
    shape: tuple[int, int]
    spectrum: MatrixSpectrum | NoValue
    values: Mapping[str, Value]


def products_of(
    products: Mapping[str, Product], tensors: Mapping[str, TensorInput]
) -> Iterator[MeasuredProduct]:
    """Those products both of whose factors came with all their values, and fit.

    Args:
        products: by the left factor's name. tensors: of the snapshot, by name.
    """
    for name, product in products.items():
        left, right = (_matrix(tensors.get(one)) for one in (name, product.right))
        if left is None or right is None or left.shape[1] != right.shape[0]:
            continue
        spectrum = product_spectrum(left, right, scale=product.scale)
        yield MeasuredProduct(
            name=f"{name}{SUFFIX}",
            of=name,
            shape=(left.shape[0], right.shape[1]),
            spectrum=spectrum,
            values=_values(spectrum),
        )


def product_spectrum(
    left: NDArray[np.float64], right: NDArray[np.float64], *, scale: float
) -> MatrixSpectrum | NoValue:
    """The singular values of ``scale`` x left x right, and what follows from them alone.

    Args:
        left: [m, r]. right: [r, n]. scale: finite.

    Returns:
        The spectrum with at most r values, descending; or why there is none.
    """
    if not (np.isfinite(left).all() and np.isfinite(right).all()):
        return NOT_FINITE
    with np.errstate(all="ignore"):
        try:
            middle = _triangle(left) @ _triangle(right.T).T
            if not np.isfinite(middle).all():
                return TOO_LARGE
            singular = np.abs(scale) * np.linalg.svd(middle, compute_uv=False)
        except np.linalg.LinAlgError:
            return NO_CONVERGENCE
    if not np.isfinite(singular).all():
        return TOO_LARGE
    if singular[0] == 0.0:
        return ALL_ZERO
    ranks = rank_statistics(singular, energy=float(np.square(singular).sum()))
    return MatrixSpectrum(
        rows=left.shape[0],
        columns=right.shape[1],
        singular_values=singular,
        raw=NO_NOISE,
        biwhitened=NO_NOISE,
        raw_outliers=(),
        outliers=(),
        power_law=NO_NOISE,
        top_vectors=None,
        statistics={"spectral_norm": float(singular[0]), **ranks},
    )


def _triangle(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """R of its thin decomposition, at most square."""
    return np.asarray(np.linalg.qr(matrix, mode="r"), dtype=np.float64)


def _values(spectrum: MatrixSpectrum | NoValue) -> dict[str, Value]:
    """Every statistic; of the elements those that the singular values determine."""
    if isinstance(spectrum, NoValue):
        return {statistic.name: spectrum for statistic in STATISTICS}
    norm = float(np.linalg.norm(spectrum.singular_values))
    size = spectrum.rows * spectrum.columns
    known: dict[str, Value] = {
        "count": float(size),
        "l2_norm": norm,
        "rms": norm / math.sqrt(size),
        **spectrum.statistics,
    }
    return {s.name: known.get(s.name, SPECTRUM_ALONE) for s in STATISTICS}


def _matrix(tensor: TensorInput | None) -> NDArray[np.float64] | None:
    """All values as [first axis, rest]; None where they did not come."""
    if tensor is None or len(tensor.shape) < 2:
        return None
    values: Exact | None = tensor.full if tensor.full is not None else tensor.values
    if values is None or values.data.size != math.prod(tensor.shape):
        return None
    return values.float64().reshape(tensor.shape[0], -1)
