"""What is to be remembered of a run held against good ones, to go on with new steps alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bifurk_service.detect.baseline_departures import IN, Departure, Outside
from bifurk_service.stats.baseline import HOLD


def remembered(found: Outside, departure: Departure | None) -> tuple[Outside, Departure | None]:
    """What has to be known of steps so far to go on: places of few steps, and the departure there.

    Kept are the last step, the last values of each course, and where the courses left that are
    outside or part of the departure.

    Args:
        departure: the newest, which may go on.
    """
    places = [_told_by(found, place, departure) for place in range(len(found.bands))]
    kept = [len(found.steps) - 1] if len(found.steps) else []
    kept += [] if departure is None else [departure.seen]
    kept += [] if departure is None or departure.over is None else [departure.over]
    at = np.unique(np.concatenate([np.array(kept, dtype=np.int64), *places]))
    since = found.since[:, at]
    less = Outside(
        steps=found.steps[at],
        values=found.values[:, at],
        bands=[band.at(at) for band in found.bands],
        since=np.where(since == IN, IN, np.searchsorted(at, since)),
        known=found.known,
        least_good=found.least_good,
    )
    if departure is None:
        return less, None
    return less, Departure(
        seen=int(np.searchsorted(at, departure.seen)),
        over=None if departure.over is None else int(np.searchsorted(at, departure.over)),
        courses=departure.courses,
    )


def _told_by(found: Outside, course: int, departure: Departure | None) -> NDArray[np.int64]:
    """Places at which more is asked of a course later."""
    finite = np.flatnonzero(np.isfinite(found.values[course]))
    since = found.since[course]
    asked = [len(since) - 1] if len(since) else []
    places = []
    if departure is not None and course in departure.courses:
        places.append(departure.seen + int(np.argmax(since[departure.seen :] != IN)))
    left = [int(since[place]) for place in [*asked, *places] if since[place] != IN]
    # Where it has left, or may be found to have: with the value before.
    for place in [*left, *found.places_told(course)[1 - HOLD :].tolist()]:
        places += [place, *finite[: np.searchsorted(finite, place)][-1:].tolist()]
    return np.array([*places, *finite[-1:].tolist()], dtype=np.int64)
