"""``branch_split``: the layers of one role part into two groups that go different ways.

What every layer moved by within a window is parted into the two groups that explain it best. The
parting must explain more than noise, an even spread or a smooth profile over depth would, must be
wider than any gap within the groups, and must be the same a while ago.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.detect.base import Detection, State
from bifurk_service.detect.branch_look import Look
from bifurk_service.detect.course import on_course, own_units
from bifurk_service.detect.layer_distance import apart_by
from bifurk_service.detect.layer_history import LayerHistory
from bifurk_service.detect.layer_onset import layer_onset
from bifurk_service.detect.least_change import least_change_of
from bifurk_service.detect.memory import Memory
from bifurk_service.detect.parting_null import allowed_rest
from bifurk_service.detect.prediction_error import MEDIAN_VARIANCE, SURELY
from bifurk_service.detect.robust_fit import GAUSSIAN_MAD, SECOND_DIFFERENCE_SD
from bifurk_service.detect.two_groups import Array, Mask, Parting, part
from bifurk_service.domain import Clock, TensorInfo
from bifurk_service.stats.registry import Nature, Statistic

SAME_SPLIT: Final = 0.75
"""Share of the layers at which a split counts as the one told before: others may join it."""
RESOLUTION: Final = 1e-9
"""Differences below this share of the values are their own rounding."""
LARGEST_SCORE: Final = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchSplitParameters:
    """Windows, in rounds (mostly snapshots), and thresholds.

    Attributes:
        windows: within which displacement is measured; the first only until the second can be.
        ends: values whose median stands for either end of a window.
        lookback: rounds ago when the membership was the same already; a third of the window where
            that is less.
        same_members: share of the layers that may be called the same membership.
        least_layers: in a group at all. least_branch: in either branch.
        clear: gap between the branches over the widest between neighbours within one.
        least_gap: between the branches' means, of the value, or of its logarithm where there is
            one; None takes ``regime_shift``'s least change of the statistic.
        noise: that gap in standard deviations of a layer's own noise.
        early_rest: factor on what R^2 may leave over, in the first window.
        closed: rounds running without a split before the same branches can split again.
    """

    windows: tuple[int, ...] = (9, 24, 72)
    ends: int = 6
    lookback: int = 8
    same_members: float = 0.93
    least_layers: int = 6
    least_branch: int = 3
    clear: float = 2.0
    least_gap: float | None = None
    noise: float = 4.0
    early_rest: float = 0.5
    closed: int = 24


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Found:
    """A group that stands parted now: its layers' series, and which lie in the upper branch."""

    look: Look
    score: float
    members: NDArray[np.int64]
    upper: Mask
    r_squared: float
    apart: float


class BranchSplit:
    """Fires once a split for every layer of the group, with the branch that it is in."""

    kind: ClassVar[str] = "branch_split"
    version: ClassVar[int] = 1

    def __init__(
        self, statistic: Statistic, *, parameters: BranchSplitParameters | None = None
    ) -> None:
        self._statistic = statistic
        self._parameters = parameters or BranchSplitParameters()
        self._looks = tuple(
            Look.of(window, ends=self._parameters.ends, lookback=self._parameters.lookback)
            for window in self._parameters.windows
        )
        self._layers = LayerHistory(
            self._looks[-1].rounds,
            # Branch of the last split told, -1 for none; rounds without a split since.
            Memory(told=-1, closed=0),
            restarts_at_interval=statistic.nature is Nature.STATIONARY,
            least_layers=self._parameters.least_layers,
        )
        self._least_gap = _least_gap(statistic, self._parameters)

    def update(
        self,
        clock: Clock,
        tensors: Sequence[TensorInfo],
        values: NDArray[np.float64],
        valid: NDArray[np.bool_],
    ) -> list[Detection]:
        """See ``PopulationDetector``; a logarithm there is only of a positive value."""
        course, known = on_course(self._statistic, values, valid)
        went_on = self._layers.take(clock, tensors, course, known)
        if not went_on.any():
            return []
        return self._judge(went_on)

    def snapshot(self) -> State:
        """See ``Detector``."""
        return self._layers.snapshot()

    def restore(self, state: State) -> None:
        """See ``Detector``."""
        self._layers.restore(state)

    def parameters(self) -> Mapping[str, float | int | str]:
        """See ``Detector``."""
        windows = ",".join(str(window) for window in self._parameters.windows)
        return {**asdict(self._parameters), "windows": windows, "least_gap": self._least_gap}

    def _judge(self, went_on: Mask) -> list[Detection]:
        best: dict[int, _Found] = {}
        for look in self._looks:
            mask = self._judged(look) & went_on[:, None]
            if not mask.any():
                continue
            moved = self._layers.moved(look.window, ends=look.ends)
            # The means of two branches are no farther apart than their layers.
            mask &= (apart_by(moved, mask) > SURELY * self._least_gap)[:, None]
            if not mask.any():
                continue
            parting = part(moved, mask)
            scores = self._scores(parting, mask, look)
            for group in np.flatnonzero(scores >= 1).tolist():
                if not self._lasts(group, look, mask, parting):
                    continue
                if group not in best or scores[group] > best[group].score:
                    best[group] = self._found(group, look, mask, parting, float(scores[group]))
        return [
            detection
            for group in np.flatnonzero(went_on).tolist()
            for detection in self._tell(group, best.get(group))
        ]

    def _judged(self, look: Look) -> Mask:
        """Which layers a window holds against one another, [G, L]."""
        least = self._parameters.least_layers
        mask = self._layers.taking_part(look.rounds)
        if look is self._looks[0]:
            following = self._layers.taking_part(self._looks[1].rounds)
            mask &= (following.sum(axis=1) < least)[:, None]
        mask &= (mask.sum(axis=1) >= least)[:, None]
        return mask

    def _found(self, group: int, look: Look, mask: Mask, parting: Parting, score: float) -> _Found:
        return _Found(
            look=look,
            score=score,
            members=self._layers.groups.members[group][mask[group]],
            upper=parting.upper[group][mask[group]],
            r_squared=float(parting.r_squared[group]),
            apart=float(parting.apart[group]),
        )

    def _scores(self, parting: Parting, mask: Mask, look: Look) -> Array:
        """Distance of the means in units of the spread within, over its threshold; 0 for none."""
        parameters = self._parameters
        rest = allowed_rest(mask.sum(axis=1))
        if look is self._looks[0]:
            rest = rest * parameters.early_rest
        enough = np.minimum(parting.low, parting.high) >= parameters.least_branch
        clear = parting.gap > parameters.clear * parting.widest_inside
        far = parting.apart > self._least_gap
        left = np.maximum(1 - parting.r_squared, 1 / LARGEST_SCORE**2)
        score = np.sqrt(parting.r_squared / left * rest / (1 - rest))
        scores: Array = np.where(enough & clear & far, np.minimum(score, LARGEST_SCORE), 0.0)
        return scores

    def _lasts(self, group: int, look: Look, mask: Mask, parting: Parting) -> bool:
        """Whether the parting stands out of the layers' own noise and is not of this round only."""
        parameters, one = self._parameters, slice(group, group + 1)
        if parting.apart[group] <= parameters.noise * self._noise(group, mask[group], look):
            return False
        for ago in (1, look.lookback):
            moved = self._layers.moved(look.window, ends=look.ends, ago=ago)[one]
            earlier = part(moved, mask[one])
            same = np.mean((earlier.upper[0] == parting.upper[group])[mask[group]])
            if same < parameters.same_members:
                return False
            if ago == 1 and self._scores(earlier, mask[one], look)[0] < 1:
                return False
        return True

    def _noise(self, group: int, mask: Mask, look: Look) -> float:
        """Standard deviation that a layer's own noise gives its displacement; and its rounding."""
        series = self._layers.groups.members[group][mask]
        values = self._layers.history.values[series, -look.rounds :]
        second = np.abs(np.diff(values, n=2, axis=1))
        sigma = GAUSSIAN_MAD * np.median(second, axis=1) / SECOND_DIFFERENCE_SD
        of_medians = np.sqrt(2 * MEDIAN_VARIANCE / look.ends)
        rounding = RESOLUTION * float(np.max(np.abs(values)))
        return max(float(np.median(sigma)) * float(of_medians), rounding)

    def _tell(self, group: int, found: _Found | None) -> list[Detection]:
        groups, memory = self._layers.groups, self._layers.memory
        members = groups.members[group][groups.mask[group]]
        if found is None:
            memory["closed"][members] = memory["closed"][members].max() + 1
            if memory["closed"][members[0]] >= self._parameters.closed:
                memory["told"][members] = -1
            return []
        memory["closed"][members] = 0
        if _is_told(memory["told"][found.members], found.upper):
            return []
        memory["told"][members] = -1
        memory["told"][found.members] = found.upper
        return [
            self._detection(found, place, groups.names[group])
            for place in range(len(found.members))
        ]

    def _detection(self, found: _Found, place: int, name: str) -> Detection:
        history, look = self._layers.history, found.look
        values = history.values[found.members, -look.rounds :]
        branch = found.upper[place]
        distance = values[place] - np.median(values[found.upper != branch], axis=0)
        series = int(found.members[place])
        onset = layer_onset(
            history.steps[series, -look.rounds :], distance, past=look.lookback + look.ends
        )
        past = values[place, look.lookback : look.lookback + look.ends]
        return Detection(
            series=series,
            onset_first_step=onset.first_step,
            onset_last_step=onset.last_step,
            before=own_units(self._statistic, float(np.median(past))),
            after=own_units(self._statistic, float(np.median(values[place, -look.ends :]))),
            score=found.score,
            details={
                "branch": int(branch),
                "group": name,
                "r_squared": found.r_squared,
                "gap": found.apart,
                "layers_low": int((~found.upper).sum()),
                "layers_high": int(found.upper.sum()),
                "window": look.window,
                "snapshots_since_onset": onset.rounds,
            },
        )


def _is_told(told: NDArray[np.int64], upper: Mask) -> bool:
    known = told >= 0
    if not known.any():
        return False
    same = float(np.mean((told == 1)[known] == upper[known]))
    # Branches that close again part as they did, the other way round.
    return max(same, 1 - same) >= SAME_SPLIT


def _least_gap(statistic: Statistic, parameters: BranchSplitParameters) -> float:
    if parameters.least_gap is not None:
        return parameters.least_gap
    return least_change_of(statistic)
