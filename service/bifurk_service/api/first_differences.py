"""The first difference of two long runs: stretches with the same extremes are passed over."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bifurk_service.api.course_pairs import Compared, CoursePair
from bifurk_service.stats.parting import LEVELS
from bifurk_service.store.condensed_rows import LEVELS as CONDENSED
from bifurk_service.store.step_bins import CLOSER, HOLE, StepBins


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstDifference:
    """The first common step at which a difference was found, None without one.

    ``exact`` is false where one may be before it, at steps of which only extremes were compared.
    """

    step: int | None
    exact: bool


def first_difference(pair: CoursePair, first: int, last: int) -> FirstDifference:
    """Looks from one common step to another, both included.

    Of runs that stay different once they differ it finds the first step: bins with other extremes
    are looked into, and what lies before each of them.
    """
    search = _Search(pair)
    step = search.look(CONDENSED[-1], first, last)
    return FirstDifference(step=step, exact=not (search.has_skipped or pair.budget.is_spent))


def differing_steps(compared: Compared) -> NDArray[np.int64]:
    """Those at which any number that both have differs."""
    known = np.isfinite(compared.this) & np.isfinite(compared.other)
    found: NDArray[np.int64] = compared.steps[
        (known & (compared.this != compared.other)).any(axis=(0, 2))
    ]
    return found


class _Search:
    def __init__(self, pair: CoursePair) -> None:
        self._pair = pair
        self.has_skipped = False

    def look(self, level: int, first: int, last: int) -> int | None:
        if first > last or self._pair.budget.is_spent:
            return None
        if not level:
            return self._look_singly(first, last)
        this, differs = self._differing(level, first, last)
        # One whose extremes are the same may end with a difference: the next one shows it.
        looked_into = differs | np.append(differs[1:], True)[: len(differs)]
        begin = first
        for place, chosen in enumerate(looked_into.tolist()):
            start, stop = int(this.starts[place]), int(this.stops[place])
            found = self.look(HOLE[level], begin, start - 1)
            if found is None and chosen:
                found = self.look(CLOSER[level], start, stop)
            if found is not None:
                return found
            self.has_skipped |= not chosen
            begin = stop + 1
        return self.look(HOLE[level], begin, last)

    def _look_singly(self, first: int, last: int) -> int | None:
        for some in self._pair.walk(first, last):
            steps = differing_steps(some)
            if steps.size:
                return int(steps[0])
        return None

    def _differing(self, level: int, first: int, last: int) -> tuple[StepBins, NDArray[np.bool_]]:
        """Bins of this, and which have other extremes than the other's of the same steps, [N]."""
        found = [self._pair.bins(level, name, first, last) for name in LEVELS]
        differs = np.stack([_differs(this, other) for this, other in found])
        return found[0][0], np.any(differs, axis=0, out=np.zeros(differs.shape[1:], dtype=np.bool_))


def _differs(this: StepBins, other: StepBins) -> NDArray[np.bool_]:
    """[N]; true as well where there is no bin of the same steps to compare with."""
    same = np.searchsorted(other.first, this.first)
    same = np.minimum(same, max(len(other.first) - 1, 0))
    if not len(other.first):
        return np.ones(len(this.first), dtype=np.bool_)
    aligned = (other.first[same] == this.first) & (other.last[same] == this.last)
    mine, theirs = this.values, other.values[..., same]
    apart = ~np.isnan(mine) & ~np.isnan(theirs) & (mine != theirs)
    found: NDArray[np.bool_] = apart.any(axis=(0, 1)) | ~aligned
    return found
