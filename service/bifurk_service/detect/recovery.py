"""When what an alert told of is over: its tensors have been back for long enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.detect.course import on_course
from bifurk_service.domain import AffectedTensor, Alert, TensorInfo
from bifurk_service.stats.registry import Statistic

RETURNED_SNAPSHOTS: Final = 24
"""Judged snapshots running for which the tensors must be back."""
RETURNED_SHARE: Final = 0.75
"""Share of an alert's tensors, among those with a value, that must be back."""
RETURNED_CHANGE: Final = 0.25
"""A tensor is back where no more than this of the change from before is left."""
BURST: Final = "variance_burst"
"""The one kind whose level says nothing about its end."""
MOVE_OF_NOISE: Final = 0.6745 * 2**0.5
"""Median distance between two neighbouring values, in standard deviations of their noise."""
MOST_FOLLOWED: Final = 200
"""Alerts followed at a time; the oldest is left to a person."""

Array = NDArray[np.float64]


@dataclass(slots=True, kw_only=True)
class _Followed:
    """An alert that is watched for its end.

    Attributes:
        tensors: places of those in which the spoken statistic moved.
        before, after: its values in them; of a burst its noise, on the scale detectors work on.
        branches: 0 or 1 where the alert parts them, else -1.
        snapshots: running, at which it was over.
        last: of a burst, the values at the snapshot before, on that scale; NaN where unknown.
        moves: of a burst, how far the tensors moved at the latest snapshots, the noise that it has
            returned to being 1.
    """

    fingerprint: str
    kind: str
    statistic: str
    tensors: list[int]
    before: list[float]
    after: list[float]
    branches: list[int]
    snapshots: int = 0
    last: list[float] = field(default_factory=list)
    moves: list[float] = field(default_factory=list)


class Recovery:
    """Follows the alerts of a run until their statistics have returned.

    Args:
        statistics: definitions by name.
    """

    def __init__(self, statistics: Mapping[str, Statistic]) -> None:
        self._statistics = statistics
        self._followed: dict[str, _Followed] = {}

    def follow(self, alert: Alert, tensors: Sequence[TensorInfo]) -> None:
        """Follows a new alert, or one that has grown: its time begins anew.

        Args:
            tensors: all of the model, in order.
        """
        spoken = [one for one in alert.tensors if alert.statistic in one.statistics]
        places = {tensor.id: place for place, tensor in enumerate(tensors)}
        sides = _noise(alert) if alert.kind == BURST else {}
        self._followed.pop(alert.fingerprint, None)
        self._followed[alert.fingerprint] = _Followed(
            fingerprint=alert.fingerprint,
            kind=alert.kind,
            statistic=alert.statistic,
            tensors=[places[one.tensor.id] for one in spoken],
            before=[sides.get(one.tensor.id, (one.before, one.after))[0] for one in spoken],
            after=[sides.get(one.tensor.id, (one.before, one.after))[1] for one in spoken],
            branches=[_branch(one) for one in spoken],
        )
        if len(self._followed) > MOST_FOLLOWED:
            del self._followed[next(iter(self._followed))]

    def update(
        self, values: Mapping[str, Array], valid: Mapping[str, NDArray[np.bool_]]
    ) -> tuple[str, ...]:
        """Fingerprints of the alerts that are over since this snapshot, each told once.

        Args:
            values: float64 [T] by statistic. valid: bool [T] by statistic.
        """
        for one in self._followed.values():
            if one.statistic in values and one.statistic in valid:
                self._look(one, values[one.statistic], valid[one.statistic])
        returned = tuple(
            one.fingerprint
            for one in self._followed.values()
            if one.snapshots >= RETURNED_SNAPSHOTS
        )
        for fingerprint in returned:
            del self._followed[fingerprint]
        return returned

    def as_json(self) -> list[dict[str, Any]]:
        """The whole memory."""
        return [asdict(one) for one in self._followed.values()]

    def restore(self, document: Sequence[Mapping[str, Any]]) -> None:
        """Takes up what ``as_json`` gave."""
        self._followed = {entry["fingerprint"]: _Followed(**entry) for entry in document}

    def _look(self, one: _Followed, values: Array, valid: NDArray[np.bool_]) -> None:
        """Counts a snapshot at which it is over, or begins anew; one without values is neither."""
        now = values[one.tensors]
        known = valid[one.tensors] & np.isfinite(now)
        if one.kind == "one_bad_snapshot":
            one.snapshots += 1
        elif one.kind == BURST:
            self._look_at_noise(one, now, known)
        elif known.any():
            is_over = self._is_over(one, now[known], known)
            one.snapshots = one.snapshots + 1 if is_over else 0

    def _look_at_noise(self, one: _Followed, now: Array, known: NDArray[np.bool_]) -> None:
        """A burst is over when the moves of the latest snapshots are small again on average."""
        course, known = on_course(self._statistics[one.statistic], now, known)
        course = np.where(known, course, np.nan)
        before, after = np.array(one.before), np.array(one.after)
        allowed = MOVE_OF_NOISE * (before + RETURNED_CHANGE * (after - before))
        moved = np.abs(course - np.array(one.last or course)) / allowed
        if one.last and not np.isnan(moved).all():
            one.moves = [*one.moves, float(np.nanmedian(moved))][-RETURNED_SNAPSHOTS:]
            enough = len(one.moves) == RETURNED_SNAPSHOTS
            one.snapshots = RETURNED_SNAPSHOTS if enough and np.mean(one.moves) <= 1 else 0
        one.last = course.tolist()

    def _is_over(self, one: _Followed, now: Array, known: NDArray[np.bool_]) -> bool:
        if one.kind == "non_finite":
            return not now.any()
        if one.kind == "frozen":
            return bool(np.mean(now < 1) >= RETURNED_SHARE)
        before, after = np.array(one.before)[known], np.array(one.after)[known]
        if self._statistics[one.statistic].log_scale and min(before.min(), after.min()) > 0:
            if now.min() <= 0:
                return False
            now, before, after = np.log(now), np.log(before), np.log(after)
        left, change = now - before, after - before
        branches = np.array(one.branches)[known]
        if len(np.unique(branches)) > 1:
            left, change = _gap(left, branches), _gap(change, branches)
        back = (np.abs(left) <= RETURNED_CHANGE * np.abs(change)) & (change != 0)
        return bool(np.mean(back) >= RETURNED_SHARE)


def _noise(alert: Alert) -> dict[int, tuple[float, float]]:
    """By tensor the noise before and after, of the statistic that a burst speaks of."""
    return {
        seen["tensor"]: (seen["details"]["noise_before"], seen["details"]["noise_after"])
        for seen in alert.evidence["detections"]
        if seen["statistic"] == alert.statistic
    }


def _branch(tensor: AffectedTensor) -> int:
    return -1 if tensor.branch is None else tensor.branch


def _gap(moved: Array, branches: NDArray[np.int64]) -> Array:
    """Distance between the branches' medians, [1]."""
    low, high = (moved[branches == one] for one in (branches.min(), branches.max()))
    gap: Array = np.atleast_1d(np.median(high) - np.median(low))
    return gap
