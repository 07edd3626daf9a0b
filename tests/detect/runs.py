"""Made-up models and runs for the tests of detectors and alerts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bifurk_service.detect.base import Detection, Detector, State
from bifurk_service.detect.judge import Judge
from bifurk_service.detect.registry import WATCHES
from bifurk_service.detect.streams import clocks
from bifurk_service.domain import Alert, Clock, Mark, Severity, TensorInfo

Values: TypeAlias = dict[str, NDArray[np.float64]]
Report: TypeAlias = tuple[int, Detection]

LENGTH = 66
ONSET = 45
"""Snapshot at which a fault strikes."""
MATRICES = ("attention.qkv", "attention.output", "mlp.up", "mlp.down")
WATCHED = sorted({statistic for watch in WATCHES for statistic in watch.statistics})


def detections(
    detector: Detector,
    values: NDArray[np.float64],
    *,
    valid: NDArray[np.bool_] | None = None,
    clock: Sequence[Clock] | None = None,
) -> list[Report]:
    """What a detector says of a stream [length, series], with the index of the snapshot."""
    known = np.ones(values.shape, dtype=np.bool_) if valid is None else valid
    times = clock or clocks(len(values))
    return [
        (index, found)
        for index in range(len(values))
        for found in detector.update(times[index], values[index], known[index])
    ]


def assert_alike(state: State, kept: State) -> None:
    """Two memories hold the same arrays under the same names."""
    assert state.keys() == kept.keys()
    for name, array in kept.items():
        np.testing.assert_array_equal(state[name], array, err_msg=name)


def marked(sequence: int, kind: str, **details: object) -> Callable[[list[Clock]], list[Clock]]:
    """Adds a mark at one snapshot of a grid."""

    def add(times: list[Clock]) -> list[Clock]:
        clock = times[sequence]
        mark = Mark(kind=kind, step=clock.step, details=details)
        times[sequence] = replace(clock, marks=(*clock.marks, mark))
        return times

    return add


def gpt(layers: int = 12) -> list[TensorInfo]:
    """A model of so many layers with four matrices, four biases and a norm each, and the rest."""
    names: list[tuple[str, int | None, tuple[int, ...]]] = [
        ("embedding.weight", None, (4096, 64)),
        ("head.weight", None, (64, 4096)),
    ]
    for layer in range(layers):
        names += [(f"blocks.{layer}.{name}.weight", layer, (64, 256)) for name in MATRICES]
        names += [(f"blocks.{layer}.{name}.bias", layer, (256,)) for name in MATRICES]
        names += [(f"blocks.{layer}.norm.weight", layer, (64,))]
    return [
        TensorInfo(id=index, name=name, layer=layer, role="other", shape=shape)
        for index, (name, layer, shape) in enumerate(names)
    ]


def sound_run(tensors: Sequence[TensorInfo], *, seed: int, length: int = LENGTH) -> Values:
    """Every watched statistic of a run in which nothing happens, each [length, tensors]."""
    random = np.random.default_rng(seed)
    shape = (length, len(tensors))
    time = np.arange(length)[:, None]

    def walk(size: float) -> NDArray[np.float64]:
        noise = 0.3 * size * random.standard_normal(shape)
        return np.cumsum(size * random.standard_normal(shape), axis=0) + noise

    rate = random.uniform(-0.3, 0.3, len(tensors))
    course = rate * (1 - np.exp(-time / 60))
    std = np.log(0.02) + course + walk(0.001)
    motion = random.standard_normal(shape)
    for index in range(1, length):
        motion[index] = 0.5 * motion[index - 1] + np.sqrt(0.75) * motion[index]
    values = {
        "std": np.exp(std),
        "spectral_norm": np.exp(std + 1 + walk(0.002)),
        "update_ratio": np.exp(-6 - time / 300 + 0.1 * motion),
        "excess_kurtosis": rate + walk(0.01),
        "gaussian_ks_distance": 0.03 + np.abs(walk(0.0005)),
        "cosine_to_first": 1 - 0.1 * (1 - np.exp(-time / 100)) + walk(0.0003),
        "stable_rank": np.exp(3 - course + walk(0.002)),
        "effective_rank": np.exp(4 + walk(0.001)),
        "dip_ratio": 0.4 + 0.05 * random.standard_normal(shape),
        "unmoved_share": np.zeros(shape),
        "nonfinite_count": np.zeros(shape),
        "spectrum_outliers": np.broadcast_to(random.integers(0, 3, len(tensors)), shape).copy(),
        "dying_share": 0.04 + 0.01 * (1 - np.exp(-time / 100)) + np.abs(walk(0.0002)),
        "path_flow": 0.0002 * random.standard_normal(shape),
        "path_dip_ratio": 0.4 + 0.05 * random.standard_normal(shape),
        "shape_class": np.full(shape, 2.0),
    }
    assert set(WATCHED) <= set(values)
    return values


def judged(
    values: Values,
    tensors: Sequence[TensorInfo],
    *,
    clock: Sequence[Clock] | None = None,
    judge: Judge | None = None,
) -> dict[str, Alert]:
    """The latest form of every alert of a run, by fingerprint, in order of appearance."""
    judge = judge or Judge("gpt-small")
    alerts: dict[str, Alert] = {}
    times = clock or clocks(len(next(iter(values.values()))), every=2)
    for index, one in enumerate(times):
        row = {name: series[index] for name, series in values.items()}
        known = {name: np.isfinite(series) for name, series in row.items()}
        verdict = judge.update(one, tensors, row, known)
        alerts |= {alert.fingerprint: alert for alert in verdict.alerts}
    return alerts


def faulty(tensors: Sequence[TensorInfo], *, layer: int = 2, seed: int = 1) -> Values:
    """The matrices of one layer are multiplied by three at ``ONSET``."""
    values = sound_run(tensors, seed=seed)
    for tensor in tensors:
        if tensor.layer == layer and len(tensor.shape) == 2:
            for statistic in ("std", "spectral_norm"):
                values[statistic][ONSET:, tensor.id] *= 3
    return values


def worth_telling(alerts: dict[str, Alert]) -> list[Alert]:
    """What reaches people: warnings and worse that are no part of another alert."""
    told = [alert for alert in alerts.values() if not alert.parent]
    return [alert for alert in told if alert.severity is not Severity.INFO]
