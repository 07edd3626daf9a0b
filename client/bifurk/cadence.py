"""Which steps are snapshots, which tensors travel in full, and the overhead budget.

Pure: steps and measured seconds go in, decisions come out.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

SNAPSHOTS_PER_JUDGEMENT: Final = 3
"""Grid snapshots whose cost is averaged before the budget is judged: one slow disk is no trend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Relief:
    """What was given up to come back under the budget: the words of a mark.

    Attributes:
        kind: ``interval`` (steps between snapshots) or ``payload``.
        before, after: steps for an interval, ``full`` and ``sketch`` for the payload.
    """

    kind: str
    before: int | str
    after: int | str


class Cadence:
    """The grid of snapshots: 1, 2, 4, ... at the start, then every ``every`` steps, and step 0.

    The grid depends on the step alone, so that a resumed attempt falls on the same steps. When
    snapshots cost more than ``budget`` (a share of the training time) the interval doubles, at
    a step the new one divides; with several ranks, whose grids must agree, full values are
    given up instead.

    Args:
        every: steps between snapshots, at least 1.
        log_start: whether the powers of two below ``every`` are snapshots too.
        budget: share of the training time, or None for no limit.
        ranks: how many processes share the grid.
    """

    def __init__(
        self, *, every: int, log_start: bool = True, budget: float | None = None, ranks: int = 1
    ) -> None:
        self._every = every
        self._log_start = log_start
        self._budget = budget
        self._ranks = ranks
        self.interval = every
        self.full_allowed = True
        self._window: tuple[float, float] | None = None
        self._window_snapshots = 0

    def due(self, step: int) -> bool:
        """Whether this step is a snapshot."""
        if step % self.interval == 0:
            return True
        return self._log_start and 0 < step < self._every and step & (step - 1) == 0

    def affords_more(self, *, elapsed_seconds: float, cost_seconds: float) -> bool:
        """Whether a snapshot off the grid fits, and is now taken: several ranks never agree on one.

        Args:
            elapsed_seconds, cost_seconds: as for ``judge``.
        """
        if self._ranks > 1:
            return False
        fits = self._budget is None or cost_seconds <= self._budget * elapsed_seconds
        if fits:
            # What it costs is no reason to thin the grid: that is judged over a window anew.
            self._window = None
        return fits

    def judge(self, step: int, *, elapsed_seconds: float, cost_seconds: float) -> Relief | None:
        """Compares the cost with the budget; to be asked at every due step before its snapshot.

        Args:
            step: a due one.
            elapsed_seconds: of training so far. cost_seconds: all snapshots' cost so far, stall
                of the training thread and processor time in the background together.
        """
        if self._budget is None or step % self.interval or step < self._every:
            return None
        if self._window is None:
            self._restart(elapsed_seconds, cost_seconds)
            return None
        self._window_snapshots += 1
        if self._window_snapshots < SNAPSHOTS_PER_JUDGEMENT:
            return None
        started, cost_before = self._window
        over = cost_seconds - cost_before > self._budget * (elapsed_seconds - started)
        if not over:
            self._restart(elapsed_seconds, cost_seconds)
            return None
        relief = self._relieve(step)
        if relief is not None:
            self._restart(elapsed_seconds, cost_seconds)
        return relief

    def _restart(self, elapsed_seconds: float, cost_seconds: float) -> None:
        self._window = (elapsed_seconds, cost_seconds)
        self._window_snapshots = 0

    def _relieve(self, step: int) -> Relief | None:
        if self._ranks > 1:
            if not self.full_allowed:
                return None
            self.full_allowed = False
            return Relief(kind="payload", before="full", after="sketch")
        if step % (2 * self.interval):
            return None
        self.interval *= 2
        return Relief(kind="interval", before=self.interval // 2, after=self.interval)


class FullRotation:
    """Takes turns among tensors so that each snapshot's full values stay within ``full_bytes``.

    Tensors larger than ``full_bytes`` alone never have a turn. When all the others fit
    together, all travel every time.

    Args:
        sizes_bytes: of each candidate, in the order of the model.
        full_bytes: the most one snapshot may carry; None for no limit.
    """

    def __init__(self, sizes_bytes: Sequence[int], *, full_bytes: int | None) -> None:
        limit = sum(sizes_bytes) if full_bytes is None else full_bytes
        self._limit = limit
        self._sizes = tuple(sizes_bytes)
        self._candidates = [index for index, size in enumerate(sizes_bytes) if size <= limit]
        self._cursor = 0

    def take(self, *, wanted: Collection[int] = (), rotate: bool = True) -> tuple[int, ...]:
        """Indices of the tensors that travel in full now, ascending.

        Args:
            wanted: these come first, as far as they fit.
            rotate: whether what room is left goes to the next turn; the turn then passes on.
        """
        left = self._limit
        taken: list[int] = []
        for index in self._candidates:
            if index in wanted and self._sizes[index] <= left:
                left -= self._sizes[index]
                taken.append(index)
        for _ in self._candidates if rotate else ():
            index = self._candidates[self._cursor % len(self._candidates)]
            if index not in taken:
                if self._sizes[index] > left:
                    break
                left -= self._sizes[index]
                taken.append(index)
            self._cursor += 1
        return tuple(sorted(taken))

    @property
    def largest_turn_bytes(self) -> int:
        """An upper bound on the bytes of one turn."""
        return min(self._limit, sum(self._sizes[index] for index in self._candidates))
