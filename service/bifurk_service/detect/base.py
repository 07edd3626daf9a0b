"""What every detector is: batched, streaming, pure, and able to be put away and taken up again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bifurk_service.domain import Clock, TensorInfo
from bifurk_service.stats.registry import Statistic

State: TypeAlias = dict[str, NDArray[Any]]
"""A detector's whole memory as named arrays (float64, int64 or bool; the first axis is the series
where it is per series). It survives ``numpy.savez`` and back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """One series did something at one snapshot.

    Attributes:
        series: its index in the batch.
        onset_first_step, onset_last_step: it began in this closed interval of steps;
            onset_first_step is the last snapshot known to be before, where there is one.
        before, after: the statistic's own values (never their logarithms) on either side.
        score: at least 1; how far over the threshold, in units of the threshold.
        details: what this kind adds, JSON-ready.
    """

    series: int
    onset_first_step: int
    onset_last_step: int
    before: float
    after: float
    score: float
    details: Mapping[str, float | int | str | bool] = field(default_factory=dict)


class Memorable(Protocol):
    """What every detector can do beside looking: be put away, taken up again, and explained."""

    kind: ClassVar[str]
    version: ClassVar[int]

    def snapshot(self) -> State:
        """A copy of the whole memory."""
        ...

    def restore(self, state: State) -> None:
        """Takes up a memory that ``snapshot`` of the same kind, version and parameters gave."""
        ...

    def parameters(self) -> Mapping[str, float | int | str]:
        """Every threshold and window in force, for the evidence."""
        ...


class Detector(Memorable, Protocol):
    """A detector over the S series of one statistic.

    ``update`` is called once a judged snapshot, in ascending sequence. Series may be added at the
    end from one call to the next (parameters added later): S never shrinks. A series without a
    value has ``valid`` False and its value is ignored (it may be NaN). S series at once give what S
    runs of one would give, and ``restore(snapshot())`` continues as if nothing had happened.
    """

    def update(
        self, clock: Clock, values: NDArray[np.float64], valid: NDArray[np.bool_]
    ) -> list[Detection]:
        """Takes one value of every series, float64 [S] and bool [S]; returns what fired now."""
        ...


class PopulationDetector(Memorable, Protocol):
    """A detector that holds a statistic's series against one another: layers of a role, for one.

    As ``Detector``, but that what it says of a series depends on the others of its group, and on
    nothing outside it: groups together give what each alone would give.
    """

    def update(
        self,
        clock: Clock,
        tensors: Sequence[TensorInfo],
        values: NDArray[np.float64],
        valid: NDArray[np.bool_],
    ) -> list[Detection]:
        """As ``Detector.update``, with the tensor behind every series, [S]."""
        ...


class DetectorFactory(Protocol):
    """Makes a fresh detector for one statistic."""

    def __call__(self, statistic: Statistic) -> Detector:
        """A detector that has seen nothing yet."""
        ...


class PopulationDetectorFactory(Protocol):
    """Makes a fresh population detector for one statistic."""

    def __call__(self, statistic: Statistic) -> PopulationDetector:
        """A detector that has seen nothing yet."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """One row of the detector table: which detector watches which statistics.

    Attributes:
        parameters: the dataclass that ``make`` takes as ``parameters``; None where there are none.
    """

    kind: str
    statistics: tuple[str, ...]
    make: DetectorFactory
    meaning: str
    parameters: type[Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PopulationWatch:
    """A row whose detector looks at all tensors of a statistic together."""

    kind: str
    statistics: tuple[str, ...]
    make: PopulationDetectorFactory
    meaning: str
    parameters: type[Any] | None = None


AnyWatch: TypeAlias = Watch | PopulationWatch
