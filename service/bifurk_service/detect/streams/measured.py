"""Series measured of made-up tensors by the same code as real ones, and such as need no noise.

Tensors are drawn anew in each series and move little between snapshots. As these cost milliseconds
each, events begin early, at ``MEASURED_ONSET``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from bifurk.exact import Exact
from bifurk_service.detect.streams.stream import (
    ONSET,
    Generator,
    Stream,
    drifting_norm,
    ramp,
    series_of,
)
from bifurk_service.stats.distributions.dip import dip_threshold
from bifurk_service.stats.distributions.dips import dips
from bifurk_service.stats.distributions.distribution import from_values
from bifurk_service.stats.elements.element_table import element_table
from bifurk_service.stats.elements.modes import DIP_POINTS
from bifurk_service.stats.motion.motion_statistics import DYING
from bifurk_service.stats.registry import Family, names_of
from bifurk_service.stats.spectra.spectrum import measure_spectrum
from bifurk_service.stats.value import NoValue

Array: TypeAlias = NDArray[np.float64]
Values: TypeAlias = Callable[[Array, float], Array]
"""From standard normal values and how far the event has gone, 0 to 1, to a tensor's values."""

MEASURED_ONSET: Final = 40
ELEMENTS: Final = 4_096
PATHS: Final = 2_048
MATRIX: Final = (128, 256)
LARGER_MATRIX: Final = (256, 512)
SPECTRUM_EVERY: Final = 10
"""Snapshots between spectra of one matrix: full values travel in turns."""
RENEWAL: Final = 0.02
"""Share of a tensor's variance that is new at each snapshot."""
SPIKE: Final = 1.5
"""Strength of a direction over the least one that noise does not hide."""
TAILS: Final = 0.12
"""Tukey's h where the tails have grown: an excess kurtosis near 4."""
MANY_ELEMENTS: Final = 100_000
PARTED: Final = 1.3
"""Distance of two halves' centres from the middle, in their standard deviations, in the end."""
PARTS_WITHIN: Final = 26
"""Snapshots from one centre to ``PARTED``; past 1 standard deviation there are two modes."""


def spike(random: np.random.Generator, series: int, length: int) -> Stream:
    """``spectrum_outliers`` of small noise matrices that get one strong direction."""
    return _spectra(random, series, length, shape=MATRIX, onset=MEASURED_ONSET)


def spike_of_larger(random: np.random.Generator, series: int, length: int) -> Stream:
    """The same of larger ones, in which a direction of this strength is plainer."""
    return _spectra(random, series, length, shape=LARGER_MATRIX, onset=MEASURED_ONSET)


def growing_tails(random: np.random.Generator, series: int, length: int) -> Stream:
    """Excess kurtosis of values z exp(h z^2 / 2), h growing within 24 snapshots (Tukey's h)."""
    return _elements(
        random,
        series,
        length,
        name="excess_kurtosis",
        values=lambda normal, share: normal * np.exp(TAILS * share * normal**2 / 2),
        within=24,
    )


def shape_change(random: np.random.Generator, series: int, length: int) -> Stream:
    """Class of values that go from Gaussian to Laplace's within 12 snapshots."""

    def values(normal: Array, share: float) -> Array:
        tail = np.maximum(ndtr(-np.abs(normal)), np.finfo(np.float64).tiny)
        laplace: Array = -np.sign(normal) * np.log(2 * tail)
        return (1 - share) * normal + share * laplace

    return _elements(random, series, length, name="shape_class", values=values, within=12)


def dying_weights(
    random: np.random.Generator, series: int, length: int, *, onset: int = ONSET
) -> Stream:
    """``dying_share`` of paths of which every other shrinks by a tenth a snapshot."""
    decay = np.where(np.arange(PATHS) % 2 == 0, 0.9, 1.0)
    return _paths(random, series, length, decay=decay, onset=onset)


def mode_split(random: np.random.Generator, series: int, length: int) -> Stream:
    """``dip_ratio`` of two halves of Gaussian values whose centres part; two modes at the onset."""
    course = PARTED * ramp(length, onset=MEASURED_ONSET - 20, snapshots=PARTS_WITHIN)
    onset = int(np.argmax(course > 1.0))
    values = _dip_ratios(random, series, [_two_halves(center) for center in course.tolist()])
    return series_of("dip_ratio", values, onset=onset)


def non_finite(random: np.random.Generator, series: int, length: int) -> Stream:
    """A count that is zero, then one or more, growing."""
    values = np.zeros((length, series))
    values[ONSET:] = random.integers(1, 5, (max(length - ONSET, 0), series)).cumsum(axis=0)
    return series_of("nonfinite_count", values, onset=ONSET)


def collapsing_spread(random: np.random.Generator, series: int, length: int) -> Stream:
    """A standard deviation that falls to a millionth at once."""
    values = np.exp(drifting_norm(random, series, length))
    values[ONSET:] *= 1e-6
    return series_of("std", values, onset=ONSET)


def stopped(random: np.random.Generator, series: int, length: int) -> Stream:
    """A share of unmoved elements below one, then one."""
    values = random.uniform(0.0, 0.9, (length, series))
    values[ONSET:] = 1.0
    return series_of("unmoved_share", values, onset=ONSET)


def _spectra(
    random: np.random.Generator,
    series: int,
    length: int,
    *,
    shape: tuple[int, int],
    onset: int | None,
) -> Stream:
    strength = SPIKE * (shape[0] * shape[1]) ** 0.25
    values = np.full((length, series), np.nan)
    for one in range(series):
        left, right = (
            vector / np.linalg.norm(vector) for vector in map(random.standard_normal, shape)
        )
        noise = random.standard_normal(shape)
        for index in range(one % SPECTRUM_EVERY, length, SPECTRUM_EVERY):
            noise = _renewed(random, noise, snapshots=SPECTRUM_EVERY)
            there = onset is not None and index >= onset
            values[index, one] = _outliers(noise + there * strength * np.outer(left, right))
    return series_of("spectrum_outliers", values, onset=onset)


def _outliers(matrix: Array) -> float:
    spectrum = measure_spectrum(matrix.astype(np.float32))
    found = np.nan if isinstance(spectrum, NoValue) else spectrum.statistics["spectrum_outliers"]
    return np.nan if isinstance(found, NoValue) else float(found)


def _elements(
    random: np.random.Generator,
    series: int,
    length: int,
    *,
    name: str,
    values: Values,
    within: int = 0,
    every: int = 1,
) -> Stream:
    """An element statistic of tensors; without an event where ``within`` is 0."""
    column = names_of(Family.ELEMENTS).index(name)
    shares = ramp(length, onset=MEASURED_ONSET, snapshots=within) if within else np.zeros(length)
    normal = random.standard_normal((series, ELEMENTS))
    measured = np.full((length, series), np.nan)
    for index in range(0, length, every):
        normal = _renewed(random, normal, snapshots=every)
        tensors = values(normal, float(shares[index])).astype(np.float32)
        table, _ = element_table([from_values(Exact(dtype="float32", data=row)) for row in tensors])
        measured[index] = table[:, column]
    return series_of(name, measured, onset=MEASURED_ONSET if within else None)


def _paths(
    random: np.random.Generator,
    series: int,
    length: int,
    *,
    decay: Array,
    onset: int | None,
) -> Stream:
    first = random.standard_normal((series, PATHS))
    now, scale = first, np.ones(PATHS)
    values = np.empty((length, series))
    for index in range(length):
        if onset is not None and index >= onset:
            scale = scale * decay
        now = _renewed(random, now, snapshots=1)
        near = np.abs(now * scale) < DYING * first.std(axis=1, keepdims=True)
        values[index] = near.mean(axis=1)
    return series_of("dying_share", values, onset=onset)


def _renewed(random: np.random.Generator, normal: Array, *, snapshots: int) -> Array:
    """Standard normal values that kept this much of what they were so many snapshots ago."""
    kept = (1 - RENEWAL) ** snapshots
    moved: Array = np.sqrt(kept) * normal + np.sqrt(1 - kept) * random.standard_normal(normal.shape)
    return moved


def _dip_ratios(
    random: np.random.Generator, series: int, laws: list[Callable[[Array], Array]]
) -> Array:
    """Dip over threshold of ``MANY_ELEMENTS`` draws from each law, float64 [laws, series].

    The quantiles that the dip is taken of are drawn directly: uniform order statistics are partial
    sums of exponentials, and sums of the ones between two of them are Gamma variables.
    """
    places = ((np.arange(DIP_POINTS) + 0.5) / DIP_POINTS * MANY_ELEMENTS).astype(np.int64) + 1
    shapes = np.diff(np.concatenate([[0], places, [MANY_ELEMENTS + 1]])).astype(np.float64)
    ratios = np.empty((len(laws), series))
    lengths = np.full(series, DIP_POINTS)
    for index, law in enumerate(laws):
        sums = np.cumsum(random.standard_gamma(shapes, (series, shapes.size)), axis=1)
        points = law(sums[:, :-1] / sums[:, -1:])
        points /= np.abs(points).max()
        ratios[index] = dips(points.ravel(), lengths) / dip_threshold(MANY_ELEMENTS)
    return ratios


def _two_halves(center: float) -> Callable[[Array], Array]:
    """Quantiles of two Gaussians of unit spread at -center and center, by interpolation."""
    grid = np.linspace(-center - 6, center + 6, 4_001)
    distribution = (ndtr(grid - center) + ndtr(grid + center)) / 2
    return lambda share: np.interp(share, distribution, grid)


def _one_mode(random: np.random.Generator, series: int, length: int) -> Stream:
    """A flat density, the single mode that looks most like several, and a Gaussian, in turns."""
    laws = [ndtri if index % 2 else (lambda share: share) for index in range(length)]
    return series_of("dip_ratio", _dip_ratios(random, series, laws))


def _nearly_two_modes(random: np.random.Generator, series: int, length: int) -> Stream:
    return series_of("dip_ratio", _dip_ratios(random, series, [_two_halves(0.95)] * length))


def _gaussian_values(name: str) -> Generator:
    def generate(random: np.random.Generator, series: int, length: int) -> Stream:
        return _elements(
            random, series, length, name=name, values=lambda normal, _: normal, every=4
        )

    return generate


def _healthy_paths(random: np.random.Generator, series: int, length: int) -> Stream:
    return _paths(random, series, length, decay=np.ones(PATHS), onset=None)


def _finite(_: np.random.Generator, series: int, length: int) -> Stream:
    return series_of("nonfinite_count", np.zeros((length, series)))


def _moving(random: np.random.Generator, series: int, length: int) -> Stream:
    """Shares of elements that a small update leaves as they were, in bfloat16 most of them."""
    return series_of("unmoved_share", random.uniform(0.0, 0.999, (length, series)))


def _spreads(random: np.random.Generator, series: int, length: int) -> Stream:
    return series_of("std", np.exp(drifting_norm(random, series, length)))


def _noise_matrices(random: np.random.Generator, series: int, length: int) -> Stream:
    return _spectra(random, series, length, shape=MATRIX, onset=None)


MEASURED_NULLS: Final[dict[str, Generator]] = {
    "one mode": _one_mode,
    "nearly two modes": _nearly_two_modes,
    "Gaussian shape": _gaussian_values("shape_class"),
    "Gaussian kurtosis": _gaussian_values("excess_kurtosis"),
    "healthy paths": _healthy_paths,
    "noise matrices": _noise_matrices,
    "finite values": _finite,
    "moving elements": _moving,
    "drifting spreads": _spreads,
}
"""Healthy tensors by name, measured as real ones are."""
