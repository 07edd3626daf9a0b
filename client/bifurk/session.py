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

from bifurk.capture import Capture
from bifurk.config import WatchConfig
from bifurk.delivery import open_delivery
from bifurk.encoder import Encoder
from bifurk.guard import Wall
from bifurk.identity import Identity
from bifurk.losses import LossLedger
from bifurk.monitor import FLUSH_SECONDS, Monitor
from bifurk.recorder import Recorder
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
        self._identity = identity
        self._process = os.getpid()
        self._closing = threading.Lock()
        self._closed = False
        self._begun = False
        self._error_before = _last_error()
        self._wall = Wall()
        # What the user calls stays up: a wrong argument is no fault of the watching, and closing
        # has to work when the rest has switched itself off.
        self._calls = Wall(failures_in_a_row=None)
        self._ledger = LossLedger()
        self._recorder = Recorder(
            capture=capture,
            optimizers=optimizers,
            config=config,
            ranks=identity.rank.ranks,
            ledger=self._ledger,
            background_seconds=lambda: self._encoder.cpu_seconds,
        )
        self._delivery = open_delivery(
            config, self._ledger, heartbeat=self._state_request, transport=transport
        )
        self._encoder = Encoder(
            identity=identity,
            deliver=self._delivery.put,
            ledger=self._ledger,
            wall=self._wall,
            overhead_ratio=lambda: self._recorder.overhead.ratio,
        )
        self._start(optimizers[0])

    @property
    def closed(self) -> bool:
        """Whether the watch is over."""
        return self._closed

    def log(self, **scalars: object) -> None:
        """See ``Monitor.log``."""
        if self._awake():
            self._calls.run(self._recorder.scalars.add, scalars)

    def mark(self, kind: str, /, **details: object) -> None:
        """See ``Monitor.mark``."""
        if self._awake():
            self._calls.run(
                self._recorder.marks.add, kind, step=self._recorder.step, details=details
            )

    def set_step(self, step: int) -> None:
        """See ``Monitor.set_step``."""
        if self._awake():
            self._calls.run(self._recorder.set_step, step)

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
        self._encoder.call(lambda: self._calls.run(self._delivery.put, running))
        self._hooks = (
            clock.register_step_pre_hook(_untraced(self._before_step)),
            clock.register_step_post_hook(_untraced(self._after_step)),
        )
        # A finaliser runs wherever the last reference was dropped: it may only queue.
        self._orphaned = weakref.finalize(clock, self._encoder.call, self._end_orphan)
        self._orphaned.atexit = False
        atexit.register(self._at_exit)

    def _before_step(self, _optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
        """Before the first step only: what training starts from."""
        if self._begun or not self._awake():
            return
        self._begun = True
        if self._wall.run(self._recorder.begin):
            self._wall.run(self._take_snapshot)

    def _after_step(self, _optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
        if self._wall.run(self._recorder.advance) and self._awake():
            self._wall.run(self._take_snapshot)

    def _take_snapshot(self) -> None:
        taken = self._recorder.take()
        if taken is not None:
            self._encoder.submit(taken)

    def _state_request(self, state: State = "running") -> Request:
        report = AttemptReport(
            state=state,
            last_sequence=self._recorder.last_sequence,
            last_step=self._recorder.step,
            display_name=self._identity.display_name,
            loss_report=self._ledger.report(self._recorder.overhead.ratio),
            wall_clock_seconds=time.time(),
            interval_seconds=self._recorder.interval_seconds,
        )
        return Request(
            method="PUT",
            path=self._identity.attempt_path,
            headers={"Content-Type": "application/json"},
            body=encode_attempt(report),
        )

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
        self._recorder.free()
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
