"""Layers of one role held against one another: healthy ones, and such as part.

Series come in groups of layers, one group after the other; a number of series that is no multiple
of the group is filled up. They stand for standard deviations.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.detect.streams.fold import fold
from bifurk_service.detect.streams.schedules import cosine, scheduled
from bifurk_service.detect.streams.stream import (
    ONSET,
    Generator,
    Stream,
    drifting_norm,
    ramp,
    series_of,
)
from bifurk_service.domain import TensorInfo

LAYERS: Final = 12
STATISTIC: Final = "std"
GROWTH: Final = np.log(1.3)
"""By how much a layer that leaves grows, as a logarithm."""
GROWS_WITHIN: Final = 24
"""Snapshots."""
PITCHFORK_SCALE: Final = 0.3
"""What one unit of the pitchfork's state is as a logarithm of the statistic."""
PITCHFORK_NOISE: Final = 0.02
FOLD_SCALE: Final = 0.3
"""Likewise of the fold's state."""
WARNED_FROM: Final = 80
"""Snapshot from which a warning of a fold is no guess: the drive has gone a third of its way."""

Array = NDArray[np.float64]


def layers_of(groups: int, layers: int) -> tuple[TensorInfo, ...]:
    """The same matrix in every layer of so many models."""
    return tuple(
        TensorInfo(
            id=group * layers + layer,
            name=f"{_letters(group)}.blocks.{layer}.mlp.up.weight",
            layer=layer,
            role="mlp.up",
            shape=(256, 64),
        )
        for group in range(groups)
        for layer in range(layers)
    )


def fork(
    random: np.random.Generator,
    series: int,
    length: int,
    *,
    branch: int,
    layers: int = LAYERS,
    onset: int = ONSET,
) -> Stream:
    """``branch`` layers of each group, drawn by lot, grow away from the others."""
    return _parting(random, series, length, branch=branch, layers=layers, onset=onset)


def leaving(random: np.random.Generator, series: int, length: int, *, onset: int = ONSET) -> Stream:
    """One layer of each group grows away from the others."""
    return _parting(random, series, length, branch=1, layers=LAYERS, onset=onset)


def pitchfork(
    random: np.random.Generator, series: int, length: int, *, onset: int = ONSET
) -> Stream:
    """Every layer has x' = mu x - x^3 + noise; mu rises from -1 through 0 at the onset."""
    groups = _groups(series, LAYERS)
    state = np.zeros(groups * LAYERS)
    course = np.empty((length, state.size))
    substeps = 10
    step = 1.0 / substeps
    for index in range(length):
        drive = index / onset - 1.0
        for _ in range(substeps):
            noise = PITCHFORK_NOISE * np.sqrt(step) * random.standard_normal(state.size)
            state = state + step * (drive * state - state**3) + noise
        course[index] = state
    common = _common(random, groups, length, LAYERS)
    values = np.exp(common + PITCHFORK_SCALE * course)
    return series_of(STATISTIC, values, onset=onset, tensors=layers_of(groups, LAYERS))


def nearing_fold(
    random: np.random.Generator, series: int, length: int, *, onset: int = ONSET
) -> Stream:
    """All layers near the end of their branch, each with noise of its own, and slow down."""
    groups = _groups(series, LAYERS)
    state = fold(random, groups * LAYERS, length, onset=onset)
    values = np.exp(FOLD_SCALE * state.values)
    made = series_of(STATISTIC, values, onset=onset, tensors=layers_of(groups, LAYERS))
    return replace(made, early=onset - WARNED_FROM)


def _parting(
    random: np.random.Generator, series: int, length: int, *, branch: int, layers: int, onset: int
) -> Stream:
    groups = _groups(series, layers)
    chosen = np.concatenate([random.permutation(layers) < branch for _ in range(groups)])
    growth = GROWTH * ramp(length, onset=onset, snapshots=GROWS_WITHIN)[:, None] * chosen
    values = np.exp(_healthy(random, groups, length, layers) + growth)
    return series_of(
        STATISTIC, values, onset=onset, concerned=chosen, tensors=layers_of(groups, layers)
    )


def _letters(number: int) -> str:
    """A name without digits, which would be taken for a layer's."""
    return "model_" + "".join("abcdefghij"[int(digit)] for digit in str(number))


def _groups(series: int, layers: int) -> int:
    return -(-series // layers)


def _common(random: np.random.Generator, groups: int, length: int, layers: int) -> Array:
    """The course that a group's layers share, float64 [length, groups x layers]."""
    return np.repeat(drifting_norm(random, groups, length), layers, axis=1)


def _healthy(random: np.random.Generator, groups: int, length: int, layers: int) -> Array:
    """Log-norms: a common course, and each layer's own drift, a quarter as large."""
    own = drifting_norm(random, groups * layers, length)
    return _common(random, groups, length, layers) + 0.25 * own


def _independent(random: np.random.Generator, series: int, length: int) -> Stream:
    groups = _groups(series, LAYERS)
    values = np.exp(drifting_norm(random, groups * LAYERS, length))
    return series_of(STATISTIC, values, tensors=layers_of(groups, LAYERS))


def _near_one_another(random: np.random.Generator, series: int, length: int) -> Stream:
    groups = _groups(series, LAYERS)
    values = np.exp(_healthy(random, groups, length, LAYERS))
    return series_of(STATISTIC, values, tensors=layers_of(groups, LAYERS))


def _scale_growth(random: np.random.Generator, series: int, length: int) -> Stream:
    """All layers share one sigma(t), which grows threefold; nothing but noise is their own."""
    groups = _groups(series, LAYERS)
    time = np.linspace(0, 1, length)[:, None]
    noise = 0.002 * random.standard_normal((length, groups * LAYERS))
    values = np.exp(np.log(3.0) * time + noise)
    return series_of(STATISTIC, values, tensors=layers_of(groups, LAYERS))


def _smooth_profile(random: np.random.Generator, series: int, length: int) -> Stream:
    """Layers drift apart in order of depth, evenly or bent, as healthy ones do."""
    groups = _groups(series, LAYERS)
    depth = np.tile(np.linspace(0, 1, LAYERS), groups)
    bend = np.repeat(random.uniform(0.3, 3.0, groups), LAYERS)
    size = np.repeat(random.uniform(-0.5, 0.5, groups), LAYERS)
    time = 1 - np.exp(-np.arange(length) / 120)[:, None]
    course = _common(random, groups, length, LAYERS) + size * depth**bend * time
    noise = 0.003 * random.standard_normal(course.shape)
    return series_of(STATISTIC, np.exp(course + noise), tensors=layers_of(groups, LAYERS))


def _white_layers(random: np.random.Generator, series: int, length: int) -> Stream:
    groups = _groups(series, LAYERS)
    values = np.exp(0.01 * random.standard_normal((length, groups * LAYERS)))
    return series_of(STATISTIC, values, tensors=layers_of(groups, LAYERS))


def _walking_layers(random: np.random.Generator, series: int, length: int) -> Stream:
    groups = _groups(series, LAYERS)
    walk = np.cumsum(0.005 * random.standard_normal((length, groups * LAYERS)), axis=0)
    return series_of(STATISTIC, np.exp(walk), tensors=layers_of(groups, LAYERS))


def _cooling(random: np.random.Generator, series: int, length: int) -> Stream:
    """Motion under a cosine: every layer follows the learning rate, each at its own level."""
    groups = _groups(series, LAYERS)
    rates = cosine(length)
    level = 0.3 * random.standard_normal(groups * LAYERS)
    noise = 0.1 * random.standard_normal((length, groups * LAYERS))
    values = np.exp(np.log(rates)[:, None] + level + noise)
    made = series_of("update_ratio", values, tensors=layers_of(groups, LAYERS))
    return replace(made, times=tuple(scheduled(rates)))


POPULATION_NULLS: Final[dict[str, Generator]] = {
    "independent layers": _independent,
    "layers near one another": _near_one_another,
    "scale growth": _scale_growth,
    "smooth profile": _smooth_profile,
    "white layers": _white_layers,
    "walking layers": _walking_layers,
    "cooling layers": _cooling,
}
"""Healthy layers by name, in groups of ``LAYERS``."""
