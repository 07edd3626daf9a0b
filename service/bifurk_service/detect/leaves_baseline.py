"""``leaves_baseline``: a run has left the band of the runs that it is held against."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from bifurk_service.detect.baseline_departures import (
    IN,
    LEAST_COURSES,
    LEAST_SHARE,
    MARGINS,
    STILL_OUT,
    Departure,
    HeldCourse,
    Outside,
)
from bifurk_service.detect.onset import Interval, by_onset, commonest_interval, first_of
from bifurk_service.detect.sentence import checkpoint_text
from bifurk_service.detect.words import KNOWN_PLURALS, listed, noun
from bifurk_service.domain import AffectedTensor, Alert, Mark, Severity, TensorInfo
from bifurk_service.stats.baseline import HOLD

KIND: Final = "leaves_baseline"
MOST_LISTED: Final = 100
"""Courses in the evidence, the first to leave first."""
LARGEST_SCORE: Final = 1e6
"""Of a course whose band has no width at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was found of a run and a baseline.

    Attributes:
        baseline: its name. good: ids of the good runs by name. least_good: see the alerts file.
        held, outside, departure: the courses, where they are, and the last departure, if any.
        needed: how many courses had to be outside. good_out: by good run, how many of its courses
            leave the band of the others.
    """

    baseline: str
    good: Mapping[str, int]
    least_good: int
    held: Sequence[HeldCourse]
    outside: Outside
    departure: Departure | None
    needed: int
    good_out: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Left:
    """One course that has left: ``edge`` of the good runs at the step, ``score`` 1 at the limit."""

    course: HeldCourse
    onset: Interval
    value: float
    low: float
    high: float
    is_above: bool
    score: float

    @property
    def edge(self) -> float:
        return self.high if self.is_above else self.low


def fingerprint_of(run: str, baseline: str) -> str:
    """Of a run's one alert about a baseline; the same for every report and after a restart."""
    return hashlib.sha256(f"{run}\n{KIND}\n{baseline}".encode()).hexdigest()[:16]


def baseline_alert(
    run: str, found: Found, *, sequence: int, checkpoint_before: Callable[[int], Mark | None]
) -> Alert:
    """The warning for a run of this name that has left a baseline.

    Args:
        run: its name. found: with a departure. sequence: of the snapshot at which it was seen.
        checkpoint_before: the last one that the run marked at a step or earlier.

    Raises:
        ValueError: nothing has left.
    """
    if found.departure is None:
        raise ValueError(f"{run} has not left {found.baseline}: expected a departure")
    left = sorted(
        (_left(found, found.departure, place) for place in found.departure.courses),
        key=lambda one: by_onset(one.onset),
    )
    statistic = _commonest(left)
    example = next(one for one in left if one.course.statistic == statistic)
    tensors = _affected(left, statistic)
    onset = commonest_interval(one.onset for one in left)
    seen = int(found.outside.steps[found.departure.seen])
    checkpoint = checkpoint_before(onset[0])
    told = [_sentence(run, found, left, example, onset=onset, seen=seen)]
    told += [checkpoint_text(checkpoint)] if checkpoint else []
    return Alert(
        fingerprint=fingerprint_of(run, found.baseline),
        kind=KIND,
        severity=Severity.WARNING,
        statistic=statistic,
        tensors=tensors,
        detected_step=seen,
        detected_sequence=sequence,
        onset_first_step=onset[0],
        onset_last_step=onset[1],
        before=example.edge,
        after=example.value,
        score=len(left) / found.needed,
        sentence=" ".join(told),
        checkpoint=checkpoint,
        evidence=_evidence(found, left),
    )


def _commonest(left: Sequence[_Left]) -> str:
    counts = Counter(one.course.statistic for one in left)
    return max(counts, key=lambda name: counts[name])


def _left(found: Found, departure: Departure, place: int) -> _Left:
    """A course as it was at the step at which it left within the departure."""
    course, band = found.held[place], found.outside.bands[place]
    since = found.outside.since[place]
    out = np.flatnonzero(since[departure.seen : departure.over] != IN)
    at = int(since[departure.seen + out[0]])
    values = found.outside.values[place]
    value = float(values[at])
    low, high = float(band.low[at]), float(band.high[at])
    is_above = value > high
    room = band.most[at] - high if is_above else low - band.least[at]
    beyond = value - high if is_above else low - value
    before = np.flatnonzero(np.isfinite(values[:at]))
    steps = found.outside.steps
    return _Left(
        course=course,
        onset=(int(steps[before[-1]]) if before.size else int(steps[at]), int(steps[at])),
        value=value,
        low=low,
        high=high,
        is_above=is_above,
        score=min(float(beyond / room), LARGEST_SCORE) if room > 0 else LARGEST_SCORE,
    )


def _affected(left: Sequence[_Left], statistic: str) -> tuple[AffectedTensor, ...]:
    """The tensors of the groups that have left, by onset; all of a group began with it."""
    by_group: dict[str, list[_Left]] = defaultdict(list)
    for one in left:
        by_group[one.course.group].append(one)
    affected = []
    for those in by_group.values():
        shown = next((one for one in those if one.course.statistic == statistic), those[0])
        first = first_of({one.course.statistic: one.onset for one in those})
        affected += [_tensor(tensor, those, shown, first) for tensor in those[0].course.tensors]
    return tuple(affected)


def _tensor(tensor: TensorInfo, those: Sequence[_Left], shown: _Left, first: str) -> AffectedTensor:
    return AffectedTensor(
        tensor=tensor,
        statistics=tuple(one.course.statistic for one in those),
        onset_first_step=those[0].onset[0],
        onset_last_step=those[0].onset[1],
        before=shown.edge,
        after=shown.value,
        score=shown.score,
        first_statistic=first,
    )


def _sentence(
    run: str, found: Found, left: Sequence[_Left], example: _Left, *, onset: Interval, seen: int
) -> str:
    statistics = listed([noun(name) for name in dict.fromkeys(o.course.statistic for o in left)])
    since = f"between steps {onset[0]:,} and {onset[1]:,}"
    if onset[0] == onset[1]:
        since = f"by step {onset[1]:,}"
    count = f"{len(left)} of {found.outside.told} courses"
    if found.outside.told == 1:
        count = "the course"
    subject = noun(example.course.statistic)
    verb = "were" if example.course.statistic in KNOWN_PLURALS else "was"
    return (
        f"{run}: {count} left the band of {len(found.good)} good runs ({found.baseline}), in "
        f"{statistics}. {subject[0].upper()}{subject[1:]} of {example.course.group} {verb} "
        f"{example.value:.3g} where theirs went from {example.low:.3g} to {example.high:.3g}. "
        f"Most began {since}, seen at {seen:,}."
    )


def _evidence(found: Found, left: Sequence[_Left]) -> dict[str, Any]:
    return {
        "detector": KIND,
        "baseline": found.baseline,
        "parameters": {
            "hold": HOLD,
            "least_good": found.least_good,
            "least_share": LEAST_SHARE,
            "least_courses": LEAST_COURSES,
            "margins": {str(count): margin for count, margin in MARGINS.items()},
            "still_out": STILL_OUT,
        },
        "good": dict(found.good),
        "good_out": dict(found.good_out),
        "courses_told_of": found.outside.told,
        "courses_needed": found.needed,
        "courses_left": len(left),
        "courses": [
            {
                "group": one.course.group,
                "statistic": one.course.statistic,
                "onset_first_step": one.onset[0],
                "onset_last_step": one.onset[1],
                "is_above": one.is_above,
                "value": one.value,
                "low": one.low,
                "high": one.high,
            }
            for one in left[:MOST_LISTED]
        ],
    }
