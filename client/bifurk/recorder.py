"""Counts steps, decides which are snapshots, and takes them: all that the training thread does."""

from __future__ import annotations

import logging
import time
import weakref
from collections.abc import Callable, Sequence

from torch.optim import Optimizer

from bifurk import optimizers as optim
from bifurk.cadence import Cadence
from bifurk.capture import Capture, Snapshot
from bifurk.config import WatchConfig
from bifurk.directives import Directives
from bifurk.losses import LossLedger
from bifurk.marks import MarkLog, error_mark
from bifurk.overhead import Overhead
from bifurk.scalars import Interval, ScalarLog
from bifurk.taken import Reached, Taken

_log = logging.getLogger("bifurk")


class Recorder:
    """Takes the snapshots of one watch, numbered through, and says where an attempt ends.

    Args:
        capture: reads the weights. optimizers: held weakly; the first is the clock.
        config: cadence, budget and payload. ranks: how many processes share the grid.
        ledger: told of snapshots that could not be taken. directives: the server's wishes.
        background_seconds: processor time spent off the training thread so far.
    """

    def __init__(
        self,
        *,
        capture: Capture,
        optimizers: Sequence[Optimizer],
        config: WatchConfig,
        ranks: int,
        ledger: LossLedger,
        directives: Directives,
        background_seconds: Callable[[], float],
    ) -> None:
        self._capture = capture
        self._optimizers = tuple(weakref.ref(optimizer) for optimizer in optimizers)
        self._optimizer_name = optim.name_of(optimizers)
        self._config = config
        self._ledger = ledger
        self._directives = directives
        self._cadence = Cadence(
            every=config.every,
            log_start=config.log_start,
            budget=config.overhead_budget,
            ranks=ranks,
        )
        self._step_given = config.start_step is not None
        # Also of one that could not be taken: all ranks have to come to the same.
        self._last_due_step: int | None = None
        self._last_grid_step: int | None = None
        self._next_sequence = 0
        self._decided = 0
        self._grid_snapshots = 0
        self.overhead = Overhead(background_seconds=background_seconds)
        self.scalars = ScalarLog()
        self.marks = MarkLog()
        self.step = config.start_step or 0
        self._steps_done = 0
        self._reached: Reached | None = None
        self._fallen = 0
        self.may_go_back = True
        """Whether another attempt can begin where the training goes back."""
        self._read_own_step()

    @property
    def last_sequence(self) -> int | None:
        """Number of the last snapshot that was due, taken or not; None before the first.

        Not of one that is being taken: the end may be told meanwhile, on another thread.
        """
        return self._decided - 1 if self._decided else None

    @property
    def next_number(self) -> int:
        """Number of the snapshot that comes next."""
        return self._next_sequence

    @property
    def snapshots(self) -> int:
        """Those that were due so far, taken or not."""
        return self._next_sequence

    @property
    def interval_seconds(self) -> float | None:
        """Usual time between snapshots; None before the first step."""
        if not self._steps_done:
            return None
        return self._cadence.interval * self.overhead.elapsed_seconds / self._steps_done

    def begin(self) -> bool:
        """Just before the first step, with whatever was loaded after ``watch``.

        Returns:
            Whether what training starts from is a snapshot.
        """
        self.overhead.start()
        self._read_own_step()
        return self.due()

    def advance(self, steps: int = 1) -> bool:
        """Counts a step; returns whether it is a snapshot.

        Args:
            steps: less than 1 where this one, or earlier ones that were counted, changed nothing.
        """
        self.step += steps
        self._steps_done += steps
        self._fallen = 0
        if steps < 1:
            return False
        return self._cadence.due(self.step) or self._is_asked_for()

    def set_step(self, step: int) -> None:
        """Sets the count of steps done so far; behind a snapshot, this attempt has ended.

        Not if the count is set again, before the next step, to that snapshot or beyond.

        Raises:
            ValueError: it is no whole number of at least 0.
        """
        if not isinstance(step, int) or step < 0:
            raise ValueError(f"set_step() takes a whole number of at least 0, got {step!r}")
        self._step_given, self._fallen = True, 0
        last = self._last_due_step
        if last is not None and step < last and self._reached is None:
            if self.may_go_back:
                self._reached = self._end_here()
            else:
                _log.warning("step set back to %d: no snapshots until it has passed %d", step, last)
        self.step = step
        self._go_on_if_back()

    def load(self, steps: int) -> None:
        """A checkpoint was loaded from so many steps later; of below 0 from before.

        A later one only takes back what was gone back since the last step: an earlier one was
        looked at.
        """
        if steps < 0:
            before, fallen = self.step, self._fallen
            self.set_step(max(0, before + steps))
            self._fallen = fallen + before - self.step
            return
        risen = min(steps, self._fallen)
        self.step, self._fallen = self.step + risen, self._fallen - risen
        self._go_on_if_back()

    @property
    def went_back(self) -> bool:
        """Whether the training has gone back behind a snapshot: what follows is another attempt."""
        return self._reached is not None

    def leave(self) -> Reached:
        """Ends the attempt that the training went back from; the next snapshot is another's."""
        reached, self._reached = self._reached or self._end_here(), None
        self._last_due_step = self._last_grid_step = None
        return reached

    def due(self) -> bool:
        """Whether the present step is a snapshot of the grid."""
        return self._cadence.due(self.step)

    def _go_on_if_back(self) -> None:
        reached, last = self._reached, self._last_due_step
        if reached is not None and last is not None and self.step >= last:
            self._reached = None
            self.scalars.restore(reached.scalars)
            self.marks.restore(reached.marks)

    def _end_here(self) -> Reached:
        return Reached(
            step=self.step,
            number=self.last_sequence,
            scalars=self.scalars.take(),
            marks=self.marks.take(),
        )

    def take(self) -> Taken | None:
        """The snapshot of the present step; None when it cannot be taken, which is counted."""
        with self.overhead.stall():
            last = self._last_due_step
            if last is not None and self.step <= last:
                return None
            off_grid = not self._cadence.due(self.step)
            if not off_grid:
                self._keep_budget()
            try:
                return self._take(off_grid=off_grid)
            finally:
                self._decided = self._next_sequence

    def send_sketches_only(self) -> None:
        """No full values from now on: the server takes no part of that size."""
        if self._config.payload == "sketch" or not self._cadence.full_allowed:
            return
        self._cadence.full_allowed = False
        self.marks.add("payload", step=self.step, details={"from": "full", "to": "sketch"})
        _log.warning(
            "a snapshot is larger than the server takes: from now on they go without full values"
            " (a smaller full_bytes, or a larger limit at the server, avoids this)"
        )

    def mark_error(self, error: BaseException) -> None:
        """Marks what ended the run."""
        kind, details = error_mark(error)
        self.marks.add(kind, step=self.step, details=details)

    def free(self) -> None:
        """Lets go of the buffers."""
        self._capture.free()

    def _keep_budget(self) -> None:
        relief = self._cadence.judge(
            self.step,
            elapsed_seconds=self.overhead.elapsed_seconds,
            cost_seconds=self.overhead.cost_seconds,
        )
        if relief is None:
            return
        details = {"from": relief.before, "to": relief.after}
        self.marks.add(relief.kind, step=self.step, details=details)
        _log.warning(
            "snapshots cost more than %g of the training time: %s from %s to %s",
            self._config.overhead_budget,
            relief.kind,
            relief.before,
            relief.after,
        )

    def _is_asked_for(self) -> bool:
        return self._directives.asks_for_snapshot(self.step) and self._cadence.affords_more(
            elapsed_seconds=self.overhead.elapsed_seconds,
            cost_seconds=self.overhead.cost_seconds,
        )

    def _take(self, *, off_grid: bool) -> Taken | None:
        snapshot = self._read_weights(off_grid=off_grid)
        if snapshot is None:
            return None
        try:
            return self._taken(snapshot, off_grid=off_grid)
        except BaseException:
            snapshot.release()
            self._ledger.drop("capture_failed", self._next_sequence - 1)
            raise

    def _read_weights(self, *, off_grid: bool) -> Snapshot | None:
        sequence, self._next_sequence = self._next_sequence, self._next_sequence + 1
        self._last_due_step = self.step
        allowed = self._cadence.full_allowed
        turn = allowed and not off_grid and self._grid_snapshots % self._config.full_every == 0
        self._grid_snapshots += not off_grid
        wanted = self._directives.wanted_in_full(self.step) if allowed else ()
        try:
            snapshot = self._capture.take(full=turn, wanted=wanted)
        except BaseException:
            self._ledger.drop("capture_failed", sequence)
            raise
        if snapshot is None:
            self._ledger.drop("busy", sequence)
        return snapshot

    def _taken(self, snapshot: Snapshot, *, off_grid: bool) -> Taken:
        optimizers = self._live_optimizers()
        previous_step = self._last_grid_step
        if not off_grid:
            self._last_grid_step = self.step
        return Taken(
            snapshot=snapshot,
            step=self.step,
            sequence=self._next_sequence - 1,
            previous_step=previous_step,
            off_grid=off_grid,
            wall_clock_seconds=time.time(),
            optimizer=self._optimizer_name,
            optimizer_settings=optim.settings(optimizers[0]),
            learning_rates=optim.learning_rates(optimizers),
            scalars=Interval() if off_grid else self.scalars.take(),
            marks=() if off_grid else self.marks.take(),
        )

    def _live_optimizers(self) -> list[Optimizer]:
        alive = (reference() for reference in self._optimizers)
        return [optimizer for optimizer in alive if optimizer is not None]

    def _read_own_step(self) -> None:
        if not self._step_given:
            self.step = optim.own_step(self._live_optimizers())
