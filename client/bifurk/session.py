"""The live monitor: hooks on the optimizer in, snapshots and states of the attempt out."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import torch
from torch.optim import Optimizer

from bifurk import optimizers as optim
from bifurk.cadence import Cadence
from bifurk.capture import Capture, Snapshot
from bifurk.config import WatchConfig
from bifurk.delivery import open_delivery
from bifurk.encoder import Encoder, Taken
from bifurk.guard import Wall
from bifurk.identity import Identity
from bifurk.losses import LossLedger
from bifurk.marks import MarkLog
from bifurk.monitor import FLUSH_SECONDS, Monitor
from bifurk.overhead import Overhead
from bifurk.scalars import ScalarLog
from bifurk.transport import Request, Transport
from bifurk.wire.attempt import AttemptReport, State, encode_attempt

EXIT_SECONDS: Final = 5.0
"""How long the interpreter's exit may wait for the network; the rest stays on disk."""

Hook: TypeAlias = Callable[[Optimizer, Any, Any], None]

_log = logging.getLogger("bifurk")


class Session(Monitor):
    """Watches one model through its optimizers' steps until closed.

    Never keeps model or optimizer alive: when the optimizer is gone the session ends itself.
    In a forked child it does nothing.

    Args:
        capture: reads the weights. optimizers: the first is the clock.
        config: with mode and attempt decided. identity: who posts.
        transport: used instead of the url's.

    Raises:
        ValueError: the url or the token cannot be used.
    """

    def __init__(
        self,
        *,
        capture: Capture,
        optimizers: Sequence[Optimizer],
        config: WatchConfig,
        identity: Identity,
        transport: Transport | None = None,
    ) -> None:
        self._capture = capture
        self._config = config
        self._identity = identity
        self._optimizers = tuple(weakref.ref(optimizer) for optimizer in optimizers)
        self._optimizer_name = optim.name_of(optimizers)
        self._process = os.getpid()
        self._wall = Wall()
        # What the user calls stays up: a wrong argument is no fault of the watching, and closing
        # has to work when the rest has switched itself off.
        self._calls = Wall(failures_in_a_row=None)
        self._ledger = LossLedger()
        self._scalars = ScalarLog()
        self._marks = MarkLog()
        self._cadence = Cadence(
            every=config.every,
            log_start=config.log_start,
            budget=config.overhead_budget,
            ranks=identity.rank.ranks,
        )
        self._overhead = Overhead(background_seconds=lambda: self._encoder.cpu_seconds)
        self._first_step_seen = False
        self._step_given = config.start_step is not None
        self._step = config.start_step or 0
        self._first_step = self._step
        self._last_snapshot_step: int | None = None
        self._next_sequence = 0
        self._closing = threading.Lock()
        self._closed = False
        self._error_before = _last_error()
        self._read_own_step()
        self._delivery = open_delivery(
            config, self._ledger, heartbeat=self._state_request, transport=transport
        )
        self._encoder = Encoder(
            identity=identity,
            deliver=self._delivery.put,
            ledger=self._ledger,
            wall=self._wall,
            overhead_ratio=lambda: self._overhead.ratio,
        )
        self._start(optimizers[0])

    @property
    def closed(self) -> bool:
        """Whether the watch is over."""
        return self._closed

    def log(self, **scalars: object) -> None:
        """See ``Monitor.log``."""
        if self._awake():
            self._calls.run(self._scalars.add, scalars)

    def mark(self, kind: str, /, **details: object) -> None:
        """See ``Monitor.mark``."""
        if self._awake():
            self._calls.run(self._marks.add, kind, step=self._step, details=details)

    def set_step(self, step: int) -> None:
        """See ``Monitor.set_step``."""
        if self._awake():
            self._calls.run(self._set_step, step)

    def flush(self, deadline_seconds: float = FLUSH_SECONDS) -> bool:
        """See ``Monitor.flush``."""
        return bool(self._awake() and self._calls.run(self._flush, deadline_seconds))

    def close(self, deadline_seconds: float = FLUSH_SECONDS) -> None:
        """See ``Monitor.close``."""
        self._close("finished", deadline_seconds)

    def _leave(self, *, failed: bool) -> None:
        self._close("failed" if failed else "finished", FLUSH_SECONDS)

    def _start(self, clock: Optimizer) -> None:
        self._encoder.start()
        running = self._state_request()
        self._encoder.call(lambda: self._delivery.put(running))
        self._hooks = (
            clock.register_step_pre_hook(_untraced(self._before_step)),
            clock.register_step_post_hook(_untraced(self._after_step)),
        )
        # A finaliser runs wherever the last reference was dropped: it may only queue.
        self._orphaned = weakref.finalize(clock, self._encoder.call, self._end_orphan)
        self._orphaned.atexit = False
        atexit.register(self._at_exit)

    def _before_step(self, _optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
        """Before the first step: what training starts from, whatever was loaded after ``watch``."""
        if self._first_step_seen or not self._awake():
            return
        self._first_step_seen = True
        self._wall.run(self._begin)
        if self._cadence.due(self._step):
            self._wall.run(self._take_snapshot)

    def _after_step(self, _optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
        self._step += 1
        if self._cadence.due(self._step) and self._awake():
            self._wall.run(self._take_snapshot)

    def _begin(self) -> None:
        self._overhead.start()
        self._read_own_step()
        self._first_step = self._step

    def _take_snapshot(self) -> None:
        with self._overhead.stall():
            step = self._step
            if self._last_snapshot_step is not None and step <= self._last_snapshot_step:
                return
            self._keep_budget(step)
            snapshot = self._read_weights()
            if snapshot is not None:
                self._encoder.submit(self._taken(snapshot))
                self._last_snapshot_step = step

    def _keep_budget(self, step: int) -> None:
        relief = self._cadence.judge(
            step,
            elapsed_seconds=self._overhead.elapsed_seconds,
            cost_seconds=self._overhead.cost_seconds,
        )
        if relief is not None:
            details = {"from": relief.before, "to": relief.after}
            self._marks.add(relief.kind, step=step, details=details)
            _log.warning(
                "snapshots cost more than %g of the training time: %s from %s to %s",
                self._config.overhead_budget,
                relief.kind,
                relief.before,
                relief.after,
            )

    def _read_weights(self) -> Snapshot | None:
        """The next snapshot of the sequence; None, and counted, when it cannot be taken."""
        sequence, self._next_sequence = self._next_sequence, self._next_sequence + 1
        full = self._cadence.full_allowed and sequence % self._config.full_every == 0
        try:
            snapshot = self._capture.take(full=full)
        except BaseException:
            self._ledger.drop("capture_failed", sequence)
            raise
        if snapshot is None:
            self._ledger.drop("busy", sequence)
        return snapshot

    def _taken(self, snapshot: Snapshot) -> Taken:
        optimizers = self._live_optimizers()
        return Taken(
            snapshot=snapshot,
            step=self._step,
            sequence=self._next_sequence - 1,
            previous_step=self._last_snapshot_step,
            wall_clock_seconds=time.time(),
            optimizer=self._optimizer_name,
            optimizer_settings=optim.settings(optimizers[0]),
            learning_rates=optim.learning_rates(optimizers),
            scalars=self._scalars.take(),
            marks=self._marks.take(),
        )

    def _live_optimizers(self) -> list[Optimizer]:
        alive = (reference() for reference in self._optimizers)
        return [optimizer for optimizer in alive if optimizer is not None]

    def _read_own_step(self) -> None:
        if not self._step_given:
            self._step = optim.own_step(self._live_optimizers())

    def _set_step(self, step: int) -> None:
        if not isinstance(step, int) or step < 0:
            raise ValueError(f"set_step() takes a whole number of at least 0, got {step!r}")
        self._step_given = True
        self._step = step
        last = self._last_snapshot_step
        if last is not None and step < last:
            _log.warning("step set back to %d: no snapshots until it has passed %d", step, last)

    def _state_request(self, state: State = "running") -> Request:
        report = AttemptReport(
            state=state,
            last_sequence=self._next_sequence - 1 if self._next_sequence else None,
            last_step=self._step,
            display_name=self._identity.display_name,
            loss_report=self._ledger.report(self._overhead.ratio),
            wall_clock_seconds=time.time(),
            interval_seconds=self._interval_seconds(),
        )
        return Request(
            method="PUT",
            path=self._identity.attempt_path,
            headers={"Content-Type": "application/json"},
            body=encode_attempt(report),
        )

    def _interval_seconds(self) -> float | None:
        steps = self._step - self._first_step
        if steps <= 0:
            return None
        return self._cadence.interval * self._overhead.elapsed_seconds / steps

    def _awake(self) -> bool:
        """Whether this is the process that watches, and it still does."""
        return not self._closed and os.getpid() == self._process

    def _flush(self, deadline_seconds: float) -> bool:
        deadline = time.monotonic() + deadline_seconds
        encoded = self._encoder.drain(deadline_seconds)
        return self._delivery.flush(_left(deadline)) and encoded

    def _at_exit(self) -> None:
        error = _last_error()
        failed = error is not None and error is not self._error_before
        self._close("failed" if failed else "finished", EXIT_SECONDS)

    def _end_orphan(self) -> None:
        """On the encoder's thread, once the optimizer no longer exists."""
        self._close("finished", EXIT_SECONDS)

    def _close(self, state: State, deadline_seconds: float) -> None:
        if not self._awake():
            return
        with self._closing:
            already, self._closed = self._closed, True
        if not already:
            self._calls.run(self._end, state, deadline_seconds)

    def _end(self, state: State, deadline_seconds: float) -> None:
        deadline = time.monotonic() + deadline_seconds
        for hook in self._hooks:
            hook.remove()
        self._orphaned.detach()
        atexit.unregister(self._at_exit)
        self._encoder.close(deadline_seconds)
        self._capture.free()
        self._delivery.put(self._state_request(state))
        self._delivery.close(_left(deadline))


def _untraced(hook: Hook) -> Hook:
    """The hook, hidden from a compiler that traces the step: it runs between the graphs."""
    hidden: Hook = torch.compiler.disable(hook)  # type: ignore[no-untyped-call]
    return hidden


def _left(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())


def _last_error() -> BaseException | None:
    """The last exception nobody caught, as the interpreter keeps it for debuggers.

    At an interactive prompt it is some earlier line's, and says nothing about the run.
    """
    if hasattr(sys, "ps1"):
        return None
    error: BaseException | None = getattr(sys, "last_value", None)
    return error
