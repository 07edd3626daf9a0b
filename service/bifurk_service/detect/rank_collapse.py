"""``rank_collapse``: the stable rank falls abruptly, or by half within a few snapshots."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bifurk_service.detect.base import Detection, State
from bifurk_service.detect.fast_change import FastChange, FastChangeLimits
from bifurk_service.domain import Clock
from bifurk_service.stats.registry import Statistic


@dataclass(frozen=True, slots=True, kw_only=True)
class RankCollapseParameters:
    """Thresholds.

    Attributes:
        within: snapshots a fall may take. share: of its past, at or below which it has collapsed.
        abrupt: least abrupt fall, as a share of the rank. threshold: of ``regime_shift``.
        quiet: values after a fall was told in which no other is.
        settle: snapshots after a series began in which none is: early in training, as attention
            and the output layer form, halves are lost in sound runs.
    """

    within: int = 24
    share: float = 0.5
    abrupt: float = 0.3
    threshold: float = 4.5
    quiet: int = 24
    settle: int = 60


class RankCollapse:
    """Fires once a fall, by whichever rule sees it first; the past then begins anew."""

    kind: ClassVar[str] = "rank_collapse"
    version: ClassVar[int] = 1

    def __init__(
        self, statistic: Statistic, *, parameters: RankCollapseParameters | None = None
    ) -> None:
        self._parameters = chosen = parameters or RankCollapseParameters()
        self._rule = FastChange(
            statistic,
            FastChangeLimits(
                within=chosen.within,
                large=-math.log(chosen.share),
                abrupt=-math.log(1 - chosen.abrupt),
                threshold=chosen.threshold,
                quiet=chosen.quiet,
                settle=chosen.settle,
                falls_only=True,
            ),
        )

    def update(
        self, clock: Clock, values: NDArray[np.float64], valid: NDArray[np.bool_]
    ) -> list[Detection]:
        """See ``Detector``; a rank that is not positive is none."""
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
