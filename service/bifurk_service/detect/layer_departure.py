"""``layer_departure``: one layer, or two, leave the others of their role.

What a layer moved by within a window is held against the other layers of its group and, away from
either end of the model, against its neighbours in depth. It must be far out in units of what the
group, and the layer itself, usually move by; and the gap to the others must be wider than any
among them, so that the end of a smooth profile is no departure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from bifurk_service.detect.base import Detection, State
from bifurk_service.detect.course import on_course, own_units
from bifurk_service.detect.layer_distance import (
    Centre,
    apart_by,
    from_neighbours,
    from_the_middle,
    leaving,
    spread,
    usual_spread,
)
from bifurk_service.detect.layer_history import LayerHistory
from bifurk_service.detect.layer_onset import layer_onset
from bifurk_service.detect.least_change import least_change_of
from bifurk_service.detect.medians import masked_median, median
from bifurk_service.detect.memory import Memory
from bifurk_service.detect.prediction_error import MEDIAN_VARIANCE
from bifurk_service.detect.robust_fit import (
    GAUSSIAN_MAD,
    SECOND_DIFFERENCE_SD,
    Array,
    Mask,
)
from bifurk_service.detect.shift_scores import SCALE_EFFICIENCY
from bifurk_service.domain import Clock, TensorInfo
from bifurk_service.stats.registry import Nature, Statistic

PAST: Final = 96
"""Rounds from which it is known what layers usually move by: three windows of the longest."""
FEWEST_PAST: Final = 3
"""Windows of the past from which on a layer's own are a measure."""
RESOLUTION: Final = 1e-9
"""Differences below this share of the values are their own rounding."""
LARGEST_SCORE: Final = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerDepartureParameters:
    """Windows, in rounds (mostly snapshots), and thresholds.

    Attributes:
        windows: within which displacement is measured.
        ends: values whose median stands for either end of a window; half of it where that is less.
        first: rounds from which on a layer is judged.
        threshold: in standard deviations; wider by Student's quantile where few displacements
            tell how large those are.
        clear: gap to the others over the widest among them.
        least_layers: in a group.
        least_change: of the value, or of its logarithm where there is one; None takes
            ``regime_shift``'s least change of the statistic.
        closed: rounds running without a departure before a layer can leave again.
    """

    windows: tuple[int, ...] = (6, 12, 24)
    ends: int = 6
    first: int = 12
    threshold: float = 5.2
    clear: float = 2.0
    least_layers: int = 6
    least_change: float | None = None
    closed: int = 24


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Found:
    """A layer that is out now: its place in the group, and the window that shows it best."""

    place: int
    window: int
    leaving: int
    score: float


class LayerDeparture:
    """Fires once for every layer that leaves; alone it is one witness, and no alert."""

    kind: ClassVar[str] = "layer_departure"
    version: ClassVar[int] = 2

    def __init__(
        self, statistic: Statistic, *, parameters: LayerDepartureParameters | None = None
    ) -> None:
        self._statistic = statistic
        self._parameters = parameters or LayerDepartureParameters()
        self._layers = LayerHistory(
            PAST + 1,
            Memory(told=False, closed=0),
            restarts_at_interval=statistic.nature is Nature.STATIONARY,
            least_layers=self._parameters.least_layers,
        )
        least = self._parameters.least_change
        self._least_change = least_change_of(statistic) if least is None else least

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
        found: dict[int, dict[int, _Found]] = {}
        for window in self._parameters.windows:
            self._look(window, went_on, found)
        return self._tell(went_on, found)

    def snapshot(self) -> State:
        """See ``Detector``."""
        return self._layers.snapshot()

    def restore(self, state: State) -> None:
        """See ``Detector``."""
        self._layers.restore(state)

    def parameters(self) -> Mapping[str, float | int | str]:
        """See ``Detector``."""
        windows = ",".join(str(window) for window in self._parameters.windows)
        return {**asdict(self._parameters), "windows": windows, "least_change": self._least_change}

    def _look(self, window: int, went_on: Mask, found: dict[int, dict[int, _Found]]) -> None:
        """Adds to what was found what this window shows, by group and place."""
        parameters = self._parameters
        mask = self._layers.taking_part(max(window + 1, parameters.first)) & went_on[:, None]
        mask &= (mask.sum(axis=1) >= parameters.least_layers)[:, None]
        if not mask.any():
            return
        moved = self._layers.moved(window, ends=self._ends(window))
        # No layer is farther from others, or from any median, than these are apart.
        groups = np.flatnonzero(apart_by(moved, mask) > self._least_change)
        if not len(groups):
            return
        moved, mask = moved[groups], mask[groups]
        for centre in (from_the_middle, from_neighbours):
            for row in self._far(*centre(moved, mask)).tolist():
                group = int(groups[row])
                scores = self._scores(group, window, mask[row], centre)
                for place in np.flatnonzero(scores >= 1).tolist():
                    one = _Found(
                        place=place,
                        window=window,
                        leaving=int((scores >= 1).sum()),
                        score=float(scores[place]),
                    )
                    best = found.setdefault(group, {}).setdefault(place, one)
                    if one.score > best.score:
                        found[group][place] = one

    def _far(self, distance: Array, judged: Mask) -> NDArray[np.intp]:
        """The groups, rows of [G, L], in which a layer stands apart and is far out."""
        parameters, sizes = self._parameters, np.abs(distance)
        out = leaving(distance, judged, clear=parameters.clear) & (sizes > self._least_change)
        rows = np.flatnonzero(out.any(axis=1))
        if not len(rows):
            return rows
        limit = parameters.threshold * spread(distance[rows], judged[rows])
        return rows[(out[rows] & (sizes[rows] > limit[:, None])).any(axis=1)]

    def _scores(self, group: int, window: int, mask: Mask, centre: Centre) -> Array:
        """How far out every layer is, over the threshold, in all rounds held, [L]; 0 for none."""
        out, held = mask, []
        for ago in range(self._held(window)):
            moved = self._layers.moved(window, ends=self._ends(window), ago=ago)[group][None, :]
            distance, judged = centre(moved, mask[None, :])
            apart = leaving(distance, judged, clear=self._parameters.clear)[0]
            out = out & apart & (np.abs(distance[0]) > self._least_change)
            if not out.any():
                return np.zeros(mask.shape)
            held.append((distance, judged))
        scores = np.where(out, LARGEST_SCORE, 0.0)
        floor, count = self._usual(group, window, mask, centre)
        for distance, judged in held:
            scale = np.maximum(spread(distance, judged)[0], floor)
            freedom = SCALE_EFFICIENCY * (judged.sum() - 2 + count)
            threshold = -stdtrit(max(freedom, 1.0), ndtr(-self._parameters.threshold))
            ratio = np.abs(distance[0]) / np.maximum(threshold * scale, np.finfo(np.float64).tiny)
            scores = np.minimum(scores, ratio)
        return scores

    def _usual(self, group: int, window: int, mask: Mask, centre: Centre) -> tuple[Array, int]:
        """What layers are usually apart by, or by their noise, [L]; of how many distances."""
        past, past_mask = self._past(group, window, mask)
        usual, known = centre(past, past_mask)
        own = np.sqrt((usual**2).sum(axis=0) / np.maximum(known.sum(axis=0), 1))
        own = np.where(known.sum(axis=0) >= FEWEST_PAST, own, 0.0)
        floor = np.maximum(own, usual_spread(usual, known))
        return np.maximum(floor, self._noise(group, window)), int(known.sum())

    def _past(self, group: int, window: int, mask: Mask) -> tuple[Array, Mask]:
        """What the layers moved by in the windows before this one, [P, L], and where known."""
        layers = self._layers
        series = layers.groups.members[group]
        count = (layers.history.length - 1) // window - 1
        ends = self._ends(window)
        end = layers.history.length - 1 - window
        values = layers.history.values[series, end - count * window : end]
        windows = values.reshape(len(series), count, window)
        moved = median(windows[:, :, -ends:]) - median(windows[:, :, :ends])
        # The oldest window first; known where the layer has values as far back as its beginning.
        reach = window + 1 + window * np.arange(count, 0, -1)
        known = (layers.history.counts[series] >= reach[:, None]) & mask
        enough = known.sum(axis=1) >= self._parameters.least_layers
        return moved.T, known & enough[:, None]

    def _noise(self, group: int, window: int) -> Array:
        """Standard deviation of displacement by the layer's own noise, or its rounding, [L]."""
        layers = self._layers
        series = layers.groups.members[group]
        values, known = layers.history.values[series], layers.history.known_in(series)
        second = np.abs(np.diff(values, n=2, axis=1))
        sigma = masked_median(second, known[:, :-2]) * GAUSSIAN_MAD / SECOND_DIFFERENCE_SD
        rounding = RESOLUTION * np.max(np.abs(values), axis=1)
        noise: Array = np.maximum(
            sigma * np.sqrt(2 * MEDIAN_VARIANCE / self._ends(window)), rounding
        )
        return noise

    def _ends(self, window: int) -> int:
        return min(self._parameters.ends, window // 2)

    def _held(self, window: int) -> int:
        """Rounds running that must show a departure; two wild values last two in a short end."""
        return 3 if self._ends(window) < self._parameters.ends else 2

    def _tell(self, went_on: Mask, found: dict[int, dict[int, _Found]]) -> list[Detection]:
        groups, memory = self._layers.groups, self._layers.memory
        detections: list[Detection] = []
        members = groups.members[groups.mask & went_on[:, None]]
        memory["closed"][members] += 1
        for group, by_place in sorted(found.items()):
            for place, one in sorted(by_place.items()):
                series = int(groups.members[group, place])
                memory["closed"][series] = 0
                if not memory["told"][series]:
                    memory["told"][series] = True
                    detections.append(self._detection(group, one, by_place))
        memory["told"] = memory["told"] & (memory["closed"] < self._parameters.closed)
        return detections

    def _detection(self, group: int, found: _Found, all_found: Mapping[int, _Found]) -> Detection:
        layers, window = self._layers, found.window
        mask = layers.taking_part(max(window + 1, self._parameters.first))[group]
        series = int(layers.groups.members[group, found.place])
        others = mask.copy()
        others[list(all_found)] = False
        counts = layers.history.counts[layers.groups.members[group][others]]
        rounds = int(min(counts.min(), layers.history.counts[series], 2 * window))
        values = layers.history.values[:, -rounds:]
        past = rounds - window + self._ends(window) // 2
        rest = np.median(values[layers.groups.members[group][others]], axis=0)
        onset = layer_onset(
            layers.history.steps[series, -rounds:], values[series] - rest, past=past
        )
        before = float(np.median(values[series, rounds - window : rounds - window // 2]))
        after = float(np.median(values[series, -self._ends(window) :]))
        return Detection(
            series=series,
            onset_first_step=onset.first_step,
            onset_last_step=onset.last_step,
            before=own_units(self._statistic, before),
            after=own_units(self._statistic, after),
            score=found.score,
            details={
                "group": layers.groups.names[group],
                "layers_leaving": found.leaving,
                "layers": int(mask.sum()),
                "window": window,
                "snapshots_since_onset": onset.rounds,
            },
        )
