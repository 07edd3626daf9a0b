"""Many runs judged at once: detectors over the series of all, one judge a run for the rest.

Series do not know of one another, so a detector over R runs' series says what R detectors would.
What it said is then played back to each run's own ``Judge``, which agrees, merges and tells as it
always does. The alerts are the same as those of a judge alone; ``tests/detect/test_streams.py``
holds this to it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bifurk_service.detect.base import (
    AnyWatch,
    Detection,
    Memorable,
    PopulationWatch,
    State,
)
from bifurk_service.detect.judge import Judge
from bifurk_service.detect.registry import WATCHES
from bifurk_service.detect.streams import RunStream
from bifurk_service.domain import Alert, Clock, TensorInfo
from bifurk_service.stats.registry import BY_NAME

Told = dict[int, list[Detection]]
"""What one run's series were said to do, by snapshot."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Joined:
    """Several runs of one model and one clock, side by side."""

    runs: Sequence[RunStream]

    def __post_init__(self) -> None:
        first = self.runs[0]
        for run in self.runs:
            if run.times != first.times or run.tensors != first.tensors:
                raise ValueError("only runs of one model and one clock can be judged together")

    @property
    def times(self) -> Sequence[Clock]:
        return self.runs[0].times

    @property
    def tensors(self) -> tuple[TensorInfo, ...]:
        """Of all runs; each model has a name of its own, so that no group spans two."""
        return tuple(
            replace(tensor, name=f"{_letters(number)}.{tensor.name}")
            for number, run in enumerate(self.runs)
            for tensor in run.tensors
        )

    def values(self, statistic: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Values and validity, [length, runs x tensors]."""
        return (
            np.concatenate([run.values[statistic] for run in self.runs], axis=1),
            np.concatenate([run.valid[statistic] for run in self.runs], axis=1),
        )


def judged(
    runs: Sequence[RunStream], *, watches: Sequence[AnyWatch] = WATCHES
) -> list[dict[str, Alert]]:
    """Of each run, the alerts by fingerprint, in their latest form and order of appearance."""
    joined = Joined(runs=runs)
    told = [
        (watch, statistic, *_said(joined, watch, statistic))
        for watch in watches
        for statistic in watch.statistics
    ]
    return [
        _alerts(run, [_playback(*entry[:3], entry[3][number]) for entry in told])
        for number, run in enumerate(runs)
    ]


def _alerts(run: RunStream, watches: Sequence[AnyWatch]) -> dict[str, Alert]:
    judge = Judge("run", watches=watches)
    alerts: dict[str, Alert] = {}
    for clock, values, valid in run:
        verdict = judge.update(clock, run.tensors, values, valid)
        alerts |= {alert.fingerprint: alert for alert in verdict.alerts}
    return alerts


def _said(joined: Joined, watch: AnyWatch, statistic: str) -> tuple[Memorable, list[Told]]:
    """The detector, and what it said of each run."""
    told: list[Told] = [defaultdict(list) for _ in joined.runs]
    values, valid = joined.values(statistic)
    width = len(joined.runs[0].tensors)
    tensors = joined.tensors
    detector = watch.make(BY_NAME[statistic])
    for index, clock in enumerate(joined.times):
        if isinstance(watch, PopulationWatch):
            found = detector.update(clock, tensors, values[index], valid[index])
        else:
            found = detector.update(clock, values[index], valid[index])
        for detection in found:
            run, series = divmod(detection.series, width)
            details = dict(detection.details)
            if "group" in details:
                details["group"] = str(details["group"]).removeprefix(f"{_letters(run)}.")
            own = replace(detection, series=series, details=details)
            told[run][clock.sequence].append(own)
    return detector, told


def _playback(watch: AnyWatch, statistic: str, detector: Memorable, told: Told) -> AnyWatch:
    if isinstance(watch, PopulationWatch):
        return replace(
            watch, statistics=(statistic,), make=lambda _: _PopulationPlayback(detector, told)
        )
    return replace(watch, statistics=(statistic,), make=lambda _: _Playback(detector, told))


class _Recorded:
    """Says what a detector of many runs said of this one."""

    def __init__(self, detector: Memorable, told: Told) -> None:
        self.kind, self.version = detector.kind, detector.version  # type: ignore[misc]
        self._parameters, self._told = dict(detector.parameters()), told

    def snapshot(self) -> State:
        return {}

    def restore(self, state: State) -> None:
        raise NotImplementedError("a recording has no memory")

    def parameters(self) -> Mapping[str, float | int | str]:
        return self._parameters


class _Playback(_Recorded):
    def update(self, clock: Clock, *_: Any) -> list[Detection]:
        return self._told.get(clock.sequence, [])


class _PopulationPlayback(_Recorded):
    def update(self, clock: Clock, *_: Any) -> list[Detection]:
        return self._told.get(clock.sequence, [])


def _letters(number: int) -> str:
    """A name without digits, which would be taken for a layer's."""
    return "run_" + "".join("abcdefghij"[int(digit)] for digit in str(number))
