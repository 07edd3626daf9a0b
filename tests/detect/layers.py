"""Groups of layers, healthy and not, for the tests of population detectors.

Every null gives float64 [length, layers] in units of the layers' noise where it has any. Nothing in
them is a split, or a layer that leaves the others (but for the one that says so).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bifurk_service.detect.base import Detection, PopulationDetector
from bifurk_service.detect.streams import autoregressive, clocks
from bifurk_service.domain import Clock, TensorInfo

Array: TypeAlias = NDArray[np.float64]
Null: TypeAlias = Callable[[np.random.Generator, int, int], Array]


def one_role(layers: int, *, first: int = 0, name: str = "up") -> list[TensorInfo]:
    """One matrix a layer."""
    return [
        TensorInfo(
            id=first + layer,
            name=f"blocks.{layer}.{name}.weight",
            layer=layer,
            role="mlp.up",
            shape=(64, 256),
        )
        for layer in range(layers)
    ]


def roles(groups: int, layers: int) -> list[TensorInfo]:
    """So many groups of one matrix a layer, one behind the other."""
    return [
        tensor
        for group in range(groups)
        for tensor in one_role(layers, first=group * layers, name=f"role{group}")
    ]


def population_detections(
    detector: PopulationDetector,
    tensors: Sequence[TensorInfo],
    values: Array,
    *,
    valid: NDArray[np.bool_] | None = None,
    clock: Sequence[Clock] | None = None,
) -> list[tuple[int, Detection]]:
    """What a detector says of a stream [length, series], with the index of the snapshot."""
    known = np.ones(values.shape, dtype=np.bool_) if valid is None else valid
    times = clock or clocks(len(values))
    return [
        (index, found)
        for index in range(len(values))
        for found in detector.update(times[index], tensors, values[index], known[index])
    ]


def depth(layers: int) -> Array:
    """Of every layer, 0 to 1."""
    return np.linspace(0, 1, layers)


def _time(length: int) -> Array:
    return np.linspace(0, 1, length)[:, None]


def white(random: np.random.Generator, length: int, layers: int) -> Array:
    return random.standard_normal((length, layers))


def ar_nine_tenths(random: np.random.Generator, length: int, layers: int) -> Array:
    return autoregressive(random, layers, length, correlation=0.9)


def walks_with_a_common_drift(random: np.random.Generator, length: int, layers: int) -> Array:
    walk: Array = np.cumsum(random.standard_normal((length, layers)), axis=0)
    return walk + 300 * np.sqrt(_time(length)) + 0.5 * white(random, length, layers)


def _profile(shape: Callable[[Array], Array]) -> Null:
    """Layers drift apart steadily, by a smooth function of depth."""

    def generate(random: np.random.Generator, length: int, layers: int) -> Array:
        way = 1 if random.random() < 0.5 else -1
        profile = shape(depth(layers))[::way]
        return 60 * _time(length) * profile + white(random, length, layers)

    return generate


def relaxing(random: np.random.Generator, length: int, layers: int) -> Array:
    """Every layer settles by an amount of its own, as norms do early in training."""
    rate = random.uniform(-0.3, 0.3, layers)
    walk = np.cumsum(0.001 * random.standard_normal((length, layers)), axis=0)
    course: Array = rate * (1 - np.exp(-np.arange(length)[:, None] / 80)) + walk
    return course + 0.0005 * white(random, length, layers)


def common_jump(random: np.random.Generator, length: int, layers: int) -> Array:
    values = white(random, length, layers)
    values[length // 2 :] += 20
    return values


def jump_by_depth(random: np.random.Generator, length: int, layers: int) -> Array:
    """All jump at once, the deeper the farther: exponentially from 3 to 30."""
    values = white(random, length, layers)
    values[length // 2 :] += 3 * 10 ** depth(layers)
    return values


def decay_by_depth(random: np.random.Generator, length: int, layers: int) -> Array:
    """A learning rate decays tenfold, and deep layers follow it fully, the first ones half."""
    start = length // 3
    fall = np.clip((np.arange(length)[:, None] - start) / 40, 0, 1)
    response = 0.5 + 0.5 * depth(layers)
    return 23 * -fall * response + autoregressive(random, layers, length, correlation=0.5)


NULLS: Final[dict[str, Null]] = {
    "white noise": white,
    "AR(.9)": ar_nine_tenths,
    "walks with a common drift": walks_with_a_common_drift,
    "linear profile": _profile(lambda x: x),
    "quadratic profile": _profile(lambda x: x**2),
    "exponential profile": _profile(lambda x: np.exp(3 * (x - 1))),
    "relaxing": relaxing,
    "common jump": common_jump,
    "jump by depth": jump_by_depth,
    "decay by depth": decay_by_depth,
}


def one_leaves(
    random: np.random.Generator,
    length: int,
    layers: int,
    *,
    onset: int,
    size: float = 5.0,
    over: int = 0,
    base: Null = white,
) -> Array:
    """The third layer leaves the others, at once or over so many snapshots."""
    values = base(random, length, layers)
    values[:, 2] += size * _ramp(length, onset, over)
    return values


def fork(
    random: np.random.Generator,
    length: int,
    layers: int,
    *,
    leaving: int,
    onset: int,
    over: int = 0,
) -> Array:
    """Logarithms of norms; so many layers grow threefold, at once or over so many snapshots."""
    values = relaxing(random, length, layers)
    chosen = random.choice(layers, leaving, replace=False)
    values[:, chosen] += np.log(3.0) * _ramp(length, onset, over)[:, None]
    return values


def pitchfork(
    random: np.random.Generator, length: int, layers: int, *, noise: float = 0.02
) -> Array:
    """x' = mu x - x^3 + noise for every layer, mu from -1 to 1; it crosses 0 at half time."""
    x, rows = np.zeros(layers), []
    for mu in np.linspace(-1, 1, length):
        for _ in range(4):
            x = x + 0.1 * (mu * x - x**3) + noise * np.sqrt(0.1) * random.standard_normal(layers)
        rows.append(x)
    return np.array(rows)


def _ramp(length: int, onset: int, over: int) -> Array:
    since = np.arange(length) - onset
    ramp: Array = np.clip((since + 1) / max(over, 1), 0, 1)
    return ramp
