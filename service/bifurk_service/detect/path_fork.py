"""``path_fork``: paths part, some towards zero and some away from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.detect.base import Detection, State
from bifurk_service.detect.fast_change import FastChange, FastChangeLimits
from bifurk_service.detect.mode_split import ModeSplit, ModeSplitParameters
from bifurk_service.detect.regime_shift import RegimeShift, RegimeShiftParameters
from bifurk_service.domain import Clock
from bifurk_service.stats.registry import Statistic

DIP: Final = "path_dip_ratio"
FLOW: Final = "path_flow"


@dataclass(frozen=True, slots=True, kw_only=True)
class PathForkParameters:
    """Thresholds of the two rules.

    Attributes:
        threshold: of ``regime_shift``, in standard errors.
        least_share: least lasting change of a share of paths where it is abrupt.
        large_share: least change of it within so many snapshots.
        within: those snapshots.
        quiet: values after a change of a share was told in which no other is: paths die slowly.
        least_flow: least lasting change of the flow, in logarithms per root of a step.
        dip: of ``mode_split``, the dip over its threshold above which paths have parted.
        held, released: of ``mode_split``, in snapshots.
    """

    threshold: float = 4.5
    least_share: float = 0.02
    large_share: float = 0.1
    within: int = 24
    quiet: int = 48
    least_flow: float = 0.003
    dip: float = 1.0
    held: int = 2
    released: int = 6


class PathFork:
    """``regime_shift`` on a share or a flow of paths, ``mode_split`` on the dip of their sizes.

    A share that rises ever more steeply never misses its own extrapolation by much, so a large
    change within a few snapshots counts for it as well.
    """

    kind: ClassVar[str] = "path_fork"
    version: ClassVar[int] = 1

    def __init__(
        self, statistic: Statistic, *, parameters: PathForkParameters | None = None
    ) -> None:
        self._parameters = parameters or PathForkParameters()
        self._rule = _rule(statistic, self._parameters)

    def update(
        self, clock: Clock, values: NDArray[np.float64], valid: NDArray[np.bool_]
    ) -> list[Detection]:
        """See ``Detector``."""
        return self._rule.update(clock, values, valid)

    def snapshot(self) -> State:
        """See ``Detector``."""
        return self._rule.snapshot()

    def restore(self, state: State) -> None:
        """See ``Detector``."""
        self._rule.restore(state)

    def parameters(self) -> Mapping[str, float | int | str]:
        """See ``Detector``."""
        return asdict(self._parameters)


def _rule(
    statistic: Statistic, parameters: PathForkParameters
) -> ModeSplit | RegimeShift | FastChange:
    if statistic.name == DIP:
        return ModeSplit(
            statistic,
            parameters=ModeSplitParameters(
                threshold=parameters.dip, held=parameters.held, released=parameters.released
            ),
        )
    if statistic.name == FLOW:
        return RegimeShift(
            statistic,
            parameters=RegimeShiftParameters(
                threshold=parameters.threshold, least_change=parameters.least_flow
            ),
        )
    return FastChange(
        statistic,
        FastChangeLimits(
            within=parameters.within,
            large=parameters.large_share,
            abrupt=parameters.least_share,
            threshold=parameters.threshold,
            quiet=parameters.quiet,
            falls_only=False,
        ),
    )
