"""Whole runs: every watched statistic of every tensor of a model, snapshot by snapshot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bifurk_service.detect.streams.stream import EVERY, RATE
from bifurk_service.domain import Clock, TensorInfo
from bifurk_service.stats.registry import BY_NAME
from bifurk_service.stats.rows.elements import SHAPE_CLASSES

Array: TypeAlias = NDArray[np.float64]
Courses: TypeAlias = dict[str, Array]
"""By statistic float64 [length, tensors], on the scale detectors work on: logarithms of
multiplicative ones. NaN where there is no value."""

LAYERS: Final = 12
WIDTH: Final = 64
BLOCK: Final = (
    ("attention.qkv", (WIDTH, 3 * WIDTH)),
    ("attention.output", (WIDTH, WIDTH)),
    ("mlp.up", (WIDTH, 4 * WIDTH)),
    ("mlp.down", (4 * WIDTH, WIDTH)),
    ("norm", (WIDTH,)),
)
"""Role and shape of a layer's tensors; as in most models of today none has a bias."""
SETTLING: Final = 80
"""Snapshots, at full learning rate, in which drifts relax."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunEvent:
    """What happens in a run.

    Attributes:
        onset: snapshot at which it begins.
        tensors: places of those that it is in.
        kinds: of alerts that tell it rightly.
    """

    onset: int
    tensors: frozenset[int]
    kinds: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunStream:
    """All snapshots of one run.

    Attributes:
        tensors: T of them, in the model's order.
        times: the clock of each snapshot.
        values: by statistic float64 [length, T], in the statistic's own units.
        valid: likewise bool; False where there is no value.
        event: what happens, or None.
    """

    tensors: tuple[TensorInfo, ...]
    times: tuple[Clock, ...]
    values: Mapping[str, NDArray[np.float64]]
    valid: Mapping[str, NDArray[np.bool_]]
    event: RunEvent | None = None

    def __iter__(
        self,
    ) -> Iterator[tuple[Clock, dict[str, NDArray[np.float64]], dict[str, NDArray[np.bool_]]]]:
        """Snapshot by snapshot: clock, values and valid by statistic, each [T]."""
        for index, clock in enumerate(self.times):
            yield (
                clock,
                {name: series[index] for name, series in self.values.items()},
                {name: known[index] for name, known in self.valid.items()},
            )


class RunGenerator(Protocol):
    """Makes one run."""

    def __call__(self, random: np.random.Generator, *, length: int = ...) -> RunStream:
        """A run of so many snapshots."""
        ...


def gpt(layers: int = LAYERS) -> tuple[TensorInfo, ...]:
    """A transformer of so many layers: its embedding, the layers' tensors, its head."""
    named: list[tuple[str, int | None, str, tuple[int, ...]]] = [
        ("embedding.weight", None, "embedding", (4_096, WIDTH))
    ]
    named += [
        (f"blocks.{layer}.{role}.weight", layer, role, shape)
        for layer in range(layers)
        for role, shape in BLOCK
    ]
    named += [("head.weight", None, "unembedding", (4_096, WIDTH))]
    return tuple(
        TensorInfo(id=index, name=name, layer=layer, role=role, shape=shape)
        for index, (name, layer, role, shape) in enumerate(named)
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Healthy:
    """How a sound run goes.

    Attributes:
        times: the clock; update ratios follow its learning rates, walks its steps.
        of_layer, of_run: shares of the noise's variance that a layer's tensors, and all tensors,
            have in common.
        differences: standard deviation of the tensors' own drifts, as logarithms.
    """

    times: Sequence[Clock]
    of_layer: float = 0.2
    of_run: float = 0.2
    differences: float = 0.15
    tensors: tuple[TensorInfo, ...] = field(default_factory=gpt)

    @property
    def rates(self) -> Array:
        """Learning rates over ``RATE``, float64 [length, 1]."""
        return np.array([[clock.learning_rates[0] / RATE] for clock in self.times])

    @property
    def intervals(self) -> Array:
        """Steps since the snapshot before over ``EVERY``, float64 [length, 1]."""
        steps = np.array([clock.step for clock in self.times], dtype=np.float64)
        return np.diff(steps, prepend=steps[0] - EVERY)[:, None] / EVERY


def healthy(random: np.random.Generator, run: Healthy) -> Courses:
    """Every watched statistic of a run in which nothing happens."""
    noise = _Noise(random, run)
    count, length = len(run.tensors), len(run.times)
    matrices = np.array([len(tensor.shape) > 1 for tensor in run.tensors])
    settled = 1 - np.exp(-np.cumsum(run.rates * run.intervals, axis=0) / SETTLING)
    drift = run.differences * random.standard_normal(count)
    size = np.log(0.02) + drift * settled + noise.walk(0.001)
    courses = {
        "std": size,
        "spectral_norm": size + 1 + 0.2 * drift * settled + noise.walk(0.002),
        "update_ratio": -6
        + np.log(run.rates)
        - 0.25 * np.log(run.intervals)
        + run.differences * random.standard_normal(count)
        + 0.1 * noise.returning(0.5),
        "excess_kurtosis": drift * settled + noise.walk(0.01),
        "gaussian_ks_distance": 0.03 + 0.02 * np.abs(drift) * settled + noise.walk(0.0003),
        "cosine_to_first": 1 - 0.1 * settled + noise.walk(0.0003),
        "stable_rank": 3 - 0.3 * settled - drift * settled + noise.walk(0.003),
        "effective_rank": 4 - 0.1 * settled + noise.walk(0.001),
        "dip_ratio": 0.4 + 0.05 * noise.white(),
        "dying_share": 0.04 + 0.03 * settled + noise.walk(0.0003),
        "path_flow": 1e-4 * run.rates * noise.returning(0.3),
        "path_dip_ratio": 0.4 + 0.05 * noise.white(),
        "unmoved_share": np.zeros((length, count)),
        "nonfinite_count": np.zeros((length, count)),
        "shape_class": _classes(random, length, count),
        "spectrum_outliers": _counts(random, length, count),
    }
    for name in ("spectral_norm", "stable_rank", "effective_rank", "spectrum_outliers"):
        courses[name] = np.where(matrices, courses[name], np.nan)
    return courses


def run_of(run: Healthy, courses: Courses, *, event: RunEvent | None = None) -> RunStream:
    """The courses in the statistics' own units."""
    values = {
        name: np.exp(course) if name in BY_NAME and BY_NAME[name].log_scale else course
        for name, course in courses.items()
    }
    return RunStream(
        tensors=run.tensors,
        times=tuple(run.times),
        values=values,
        valid={name: np.isfinite(series) for name, series in values.items()},
        event=event,
    )


class _Noise:
    """Noise that tensors share in part, float64 [length, T] of unit variance."""

    def __init__(self, random: np.random.Generator, run: Healthy) -> None:
        self._random = random
        self._length = len(run.times)
        places = [-1 if tensor.layer is None else tensor.layer for tensor in run.tensors]
        self._layer = np.array(places) + 1
        self._parts = np.sqrt([run.of_run, run.of_layer, 1 - run.of_run - run.of_layer])
        self._pace = run.rates * np.sqrt(run.intervals)

    def white(self) -> Array:
        everywhere, layer, own = self._parts
        draw = self._random.standard_normal
        of_layers = draw((self._length, int(self._layer.max()) + 1))[:, self._layer]
        noise: Array = (
            everywhere * draw((self._length, 1))
            + layer * of_layers
            + own * draw((self._length, self._layer.size))
        )
        return noise

    def returning(self, correlation: float) -> Array:
        noise = self.white()
        for index in range(1, self._length):
            noise[index] = (
                correlation * noise[index - 1] + np.sqrt(1 - correlation**2) * noise[index]
            )
        return noise

    def walk(self, size: float) -> Array:
        """Of so much a snapshot at full learning rate, measured with a third of it."""
        walk: Array = np.cumsum(size * self._pace * self.white(), axis=0)
        return walk + 0.3 * size * self.white()


def _classes(random: np.random.Generator, length: int, count: int) -> Array:
    """Gaussian, but for one tensor in twenty that is near a border and is now and then another."""
    gaussian, other = SHAPE_CLASSES.index("gaussian"), SHAPE_CLASSES.index("other")
    near = random.random(count) < 0.05
    flips = near & (random.random((length, count)) < 0.1)
    return np.where(flips, float(other), float(gaussian))


def _counts(random: np.random.Generator, length: int, count: int) -> Array:
    """Outliers of a spectrum: a few from the start; in one matrix of ten one more, at some time."""
    start = random.integers(0, 4, count)
    joins = np.where(random.random(count) < 0.1, random.integers(0, length, count), length)
    joined = (np.arange(length)[:, None] >= joins).astype(np.float64)
    counts: Array = start.astype(np.float64) + joined
    return counts
