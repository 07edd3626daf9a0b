"""The live monitor: hooks on the optimizer in, snapshots and states of the attempt out."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from torch.optim import Optimizer

from bifurk.answers import document
from bifurk.capture import Capture
from bifurk.config import WatchConfig
from bifurk.delivery import open_delivery
from bifurk.directives import Directives
from bifurk.encoder import Encoder
from bifurk.guard import Wall
from bifurk.identity import Identity
from bifurk.lineage import Life, Lineage
from bifurk.listeners import Listener
from bifurk.load_hooks import LoadHooks
from bifurk.losses import LossLedger
from bifurk.monitor import FLUSH_SECONDS, Heard, InertMonitor, Monitor, is_clean_exit
from bifurk.neighbours import Neighbours
from bifurk.news import News
from bifurk.overhead import ThreadTime
from bifurk.portrait import Portrait, as_html, as_text
from bifurk.process_end import ProcessEnd
from bifurk.recorder import Recorder
from bifurk.reports import Reports
from bifurk.step_hooks import StepHooks
from bifurk.transport import Request, Response, Transport
from bifurk.wire.attempt import State

EXIT_SECONDS: Final = 5.0
"""How long the interpreter's exit may wait for the network; the rest stays on disk."""

FORKED: Final = "the process it belongs to has forked, and this is the child"

SENDING_SHARE: Final = 0.2
"""Of a close's deadline that encoding leaves over: a server that is well needs milliseconds, and
has to hear how the run ended whatever became of the last snapshots."""


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
        self._process = os.getpid()
        self._closing = threading.Lock()
        self._closed = False
        self._over = threading.Event()
        self._begun = False
        self._replaced = False
        self._told_silence = False
        self._lineage = Lineage(identity)
        self._identity = identity
        self._config = config
        self._news = News(config.url)
        self._wall = Wall()
        # What the user calls stays up: a wrong argument is no fault of the watching, and closing
        # has to work when the rest has switched itself off.
        self._calls = Wall(failures_in_a_row=None)
        self._ledger = LossLedger()
        self._sending = ThreadTime()
        self._neighbours = Neighbours(identity)
        self._directives = Directives()
        self._recorder = Recorder(
            capture=capture,
            optimizers=optimizers,
            config=config,
            ranks=identity.rank.ranks,
            ledger=self._ledger,
            directives=self._directives,
            background_seconds=lambda: (
                self._encoder.cpu_seconds + self._sending.seconds + self._news.forwards.cpu_seconds
            ),
        )
        self._reports = self._reports_of(self._lineage.now)
        self._past: list[Reports] = []
        """Of attempts that the training has gone back from."""
        self._delivery = open_delivery(
            config,
            self._ledger,
            heartbeat=self._sign_of_life if identity.speaks else None,
            transport=transport,
            on_reply=self._answered,
            on_refused=self._refused,
        )
        self._encoder = Encoder(
            lineage=self._lineage,
            deliver=self._delivery.put,
            ledger=self._ledger,
            wall=self._wall,
            overhead_ratio=lambda: self._recorder.overhead.ratio,
            restore_marks=self._recorder.marks.restore,
            on_scalars=self._news.scalars,
        )
        self._start(optimizers[0])

    @property
    def closed(self) -> bool:
        """Whether the watch is over."""
        return self._closed

    @property
    def config(self) -> WatchConfig:
        """What it was told."""
        return self._config

    def end_replaced(self) -> None:
        """Ends the watch because another one of the same run begins; waits for its end.

        As long as at the interpreter's exit, whoever has begun to end it.
        """
        if not self._ours():
            return
        self._replaced = self._replaced or not self._closed
        self._calls.run(self._close, EXIT_SECONDS)
        self._over.wait(EXIT_SECONDS)

    def log(self, /, **scalars: object) -> None:
        """See ``Monitor.log``."""
        if self._awake():
            self._calls.run(self._recorder.scalars.add, scalars)

    def mark(self, kind: str, /, **details: object) -> None:
        """See ``Monitor.mark``."""
        if self._awake():
            self._calls.run(
                self._recorder.marks.add, kind, step=self._recorder.step, details=details
            )

    @property
    def step(self) -> int | None:
        """See ``Monitor.step``."""
        return self._recorder.step

    def set_step(self, step: int) -> None:
        """See ``Monitor.set_step``."""
        if self._awake():
            self._calls.run(self._recorder.set_step, step)

    def on_alert(self, listener: Heard) -> Heard:
        """See ``Monitor.on_alert``."""
        if self._awake() and self._identity.speaks:
            self._calls.run(self._listen, listener)
        return listener

    def forward(self, target: object) -> None:
        """See ``Monitor.forward``."""
        if self._awake() and self._identity.speaks:
            self._calls.run(self._news.forward, target)

    def flush(self, deadline_seconds: float = FLUSH_SECONDS) -> bool:
        """See ``Monitor.flush``."""
        return bool(self._awake() and self._calls.run(self._flush, deadline_seconds))

    def close(self, deadline_seconds: float = FLUSH_SECONDS) -> None:
        """See ``Monitor.close``."""
        self._calls.run(self._close, deadline_seconds)

    def __repr__(self) -> str:
        if not self._ours():
            return repr(InertMonitor(FORKED))
        return self._calls.run(lambda: as_text(self._portrait())) or object.__repr__(self)

    def _repr_html_(self) -> str | None:
        if not self._ours():
            return InertMonitor(FORKED)._repr_html_()
        return self._calls.run(lambda: as_html(self._portrait()))

    def _leave(self, error: BaseException | None, deadline_seconds: float = FLUSH_SECONDS) -> None:
        failure = None if is_clean_exit(error) else error
        self._calls.run(self._close, deadline_seconds, failure)

    def _start(self, clock: Optimizer) -> None:
        self._encoder.start()
        running = self._reports.request()
        self._encoder.call(lambda: self._calls.run(self._tell, running))
        self._hooks = StepHooks(clock, before=self._before_step, after=self._after_step)
        self._loads = LoadHooks(clock, moved=self._moved)
        # A finaliser runs wherever the last reference was dropped: it may only queue.
        self._orphaned = weakref.finalize(clock, self._encoder.call, self._end_orphan)
        self._orphaned.atexit = False
        self._process_end = ProcessEnd(self._at_exit)
        for target in self._config.forward if self._identity.speaks else ():
            self._calls.run(self._news.forward, target)

    def _before_step(self) -> None:
        """Before the first step of an attempt only: what training starts from."""
        if (self._begun and not self._recorder.went_back) or not self._awake():
            return
        if self._begun:
            self._wall.run(self._begin_next_attempt)
            return
        self._begun = True
        self._wall.run(self._news.forwards.begin)
        if self._wall.run(self._recorder.begin):
            self._wall.run(self._take_snapshot)

    def _moved(self, steps: int) -> None:
        """A checkpoint was loaded from so many steps later; of below 0 from before."""
        if self._begun and self._awake():
            self._wall.run(self._recorder.load, steps)

    def _begin_next_attempt(self) -> None:
        """The training has gone back: what is ended is told, what follows is a life of its own."""
        recorder, past = self._recorder, self._reports
        before, reached = self._lineage.now.identity.attempt, recorder.leave()
        life = self._lineage.begin(recorder.next_number)
        recorder.may_go_back = not self._lineage.last
        self._ledger.begin(life.first)
        past.end("finished", reached)
        self._past.append(past)
        self._reports = self._reports_of(life)
        self._directives.read({"directives": []})
        running = self._reports.request()
        self._encoder.call(lambda: self._calls.run(self._tell_past, past))
        self._encoder.call(lambda: self._calls.run(self._tell, running))
        details = {"from_step": reached.step, "attempt": before}
        recorder.marks.add("resume", step=recorder.step, details=details)
        _log.info(
            "the training went back from step %d to %d: attempt %s ends, %s begins",
            reached.step,
            recorder.step,
            before,
            life.identity.attempt,
        )
        if recorder.due():
            self._take_snapshot()

    def _tell_past(self, past: Reports) -> None:
        """On the encoder's thread, behind the attempt's last snapshot."""
        self._news.scalars(past.step, past.read_last_scalars())
        self._tell(past.request())

    def _sign_of_life(self) -> Request:
        return self._reports.request()

    def _reports_of(self, life: Life) -> Reports:
        return Reports(life=life, recorder=self._recorder, ledger=self._ledger)

    def _after_step(self, void: int) -> None:
        if self._wall.run(self._recorder.advance, 1 - void) and self._awake():
            self._wall.run(self._take_snapshot)

    def _take_snapshot(self) -> None:
        taken = self._recorder.take()
        if taken is not None:
            self._encoder.submit(taken)

    def _answered(self, request: Request, response: Response) -> None:
        """On the sender's thread."""
        # What an earlier process left is sent as well, and answered about an attempt of its own.
        if self._lineage.now.identity.owns(request.path):
            answer = document(response)
            self._neighbours.read(answer)
            if self._config.directives:
                self._directives.read(answer)
            self._news.answered(answer)
        self._sending.tell()

    def _listen(self, listener: Listener) -> None:
        if self._delivery.listen():
            self._news.listen(listener)
        elif not self._told_silence:
            self._told_silence = True
            _log.warning(
                "on_alert: in mode %r no server answers, and nothing is ever called",
                self._config.mode,
            )

    def _refused(self, status: int) -> None:
        """On the sender's thread."""
        if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            self._calls.run(self._recorder.send_sketches_only)

    def _ours(self) -> bool:
        """Whether this is the process that watches."""
        return os.getpid() == self._process

    def _awake(self) -> bool:
        """Whether it still does."""
        return not self._closed and self._ours()

    def _flush(self, deadline_seconds: float) -> bool:
        seconds = _bounded(deadline_seconds)
        deadline = time.monotonic() + seconds
        encoded = self._encoder.drain(seconds)
        delivered = self._delivery.flush(_left(deadline))
        return self._news.flush(_left(deadline)) and delivered and encoded

    def _at_exit(self, error: BaseException | None = None) -> None:
        if not self._ours():
            return
        self._calls.run(self._close, EXIT_SECONDS, error)
        # Where another thread has begun to close, the interpreter waits for it as well.
        self._over.wait(EXIT_SECONDS)

    def _end_orphan(self) -> None:
        """On the encoder's thread, once the optimizer no longer exists."""
        self._calls.run(self._read_last_scalars)
        self._calls.run(self._close, EXIT_SECONDS)

    def _close(self, deadline_seconds: float, error: BaseException | None = None) -> None:
        """Ends the watch, as failed where an error says so, unless that is done or under way.

        An interrupt in the middle passes; the next call then begins again.
        """
        seconds = _bounded(deadline_seconds)
        if not self._ours() or not self._closing.acquire(blocking=False):
            return
        try:
            if not self._over.is_set():
                self._closed = True
                if error is not None:
                    self._calls.run(self._recorder.mark_error, error)
                self._end("finished" if error is None else "failed", seconds)
                self._over.set()
        finally:
            self._closing.release()

    def _end(self, state: State, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        recorder = self._recorder
        self._reports.end(state, recorder.leave() if recorder.went_back else None)
        try:
            self._calls.run(self._stop_watching)
            self._calls.run(self._encoder.close, _before_last_share(seconds))
        finally:
            # After an interrupt as well: the end then lies in the spool, and is on its way.
            self._calls.run(self._tell_end)
        self._calls.run(self._recorder.free)
        self._calls.run(self._tell_late_losses, _before_last_share(_left(deadline)))
        self._calls.run(self._delivery.close, _left(deadline))
        self._calls.run(self._news.close, _left(deadline))
        self._process_end.remove()

    def _stop_watching(self) -> None:
        self._hooks.remove()
        self._loads.remove()
        self._orphaned.detach()
        # On the encoder's thread, because a device that hangs must not keep the process.
        self._encoder.call(lambda: self._calls.run(self._read_last_scalars))

    def _read_last_scalars(self) -> None:
        self._news.scalars(self._reports.step, self._reports.read_last_scalars())

    def _tell_end(self) -> None:
        """Tells how the attempt ended."""
        self._tell(self._reports.request())

    def _tell_late_losses(self, deadline_seconds: float) -> None:
        """Tells the end again when the last deliveries, the end's own included, cost something."""
        self._delivery.flush(deadline_seconds)
        for reports in (*self._past, self._reports):
            if reports.owe_losses():
                self._tell(reports.request())

    def _tell(self, report: Request) -> None:
        """One process tells how the attempt stands; the others only send their parts."""
        if self._identity.speaks:
            self._delivery.put(report)

    def _portrait(self) -> Portrait:
        known = self._ledger.report()
        online = self._config.mode == "online"
        return Portrait(
            project=self._identity.project,
            run=self._identity.run,
            attempt=self._lineage.now.identity.attempt,
            state=self._state(),
            place=self._config.url or "" if online else str(self._config.offline_dir),
            page=self._news.book.page,
            step=self._recorder.step,
            snapshots=self._recorder.snapshots,
            dropped=known.dropped,
            overhead=self._recorder.overhead.ratio,
            alerts=self._news.book.known,
        )

    def _state(self) -> str:
        if self._replaced:
            return "ended: another watch of this run has begun"
        if self._closed:
            return f"ended: {self._reports.state}"
        if self._wall.disabled:
            return "switched off after failures, which the log tells"
        return "watching" if self._begun else "waiting for the first step"


def _before_last_share(seconds: float) -> float:
    return (1 - SENDING_SHARE) * seconds


def _left(deadline: float) -> float:
    return _bounded(deadline - time.monotonic())


def _bounded(seconds: float) -> float:
    """What every wait accepts: "for ever" is the longest it can, and NaN does not wait."""
    return min(max(0.0, seconds), threading.TIMEOUT_MAX)
