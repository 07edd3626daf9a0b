"""The live monitor: put together of its parts, asked by its owner, and ended once."""

from __future__ import annotations

import logging
import os
import time
import weakref
from collections.abc import Callable, Sequence
from http import HTTPStatus
from threading import Thread
from typing import Final

from torch.optim import Optimizer

from bifurk.capture import Capture
from bifurk.config import WatchConfig
from bifurk.deadlines import bounded, left
from bifurk.delivery import open_delivery
from bifurk.directives import Directives
from bifurk.encoder import Encoder
from bifurk.ending import Ending
from bifurk.guard import Wall
from bifurk.hearing import Hearing
from bifurk.identity import Identity
from bifurk.lineage import Lineage
from bifurk.listeners import Listener
from bifurk.load_hooks import LoadHooks
from bifurk.losses import LossLedger
from bifurk.monitor import FLUSH_SECONDS, Heard, InertMonitor, Monitor, is_clean_exit
from bifurk.news import News
from bifurk.portrait import Portrait, as_html, as_text
from bifurk.process_end import ProcessEnd
from bifurk.recorder import Recorder
from bifurk.step_hooks import StepHooks
from bifurk.stepping import Stepping
from bifurk.telling import Telling
from bifurk.transport import Request, Transport

EXIT_SECONDS: Final = 5.0
"""How long the interpreter's exit may wait for the network; the rest stays on disk."""

END_THREAD_NAME: Final = "bifurk-end"

FORKED: Final = "the process it belongs to has forked, and this is the child"

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
        self._directives = Directives()
        self._hearing = Hearing(
            self._lineage,
            directives=self._directives if config.directives else None,
            news=self._news,
        )
        self._recorder = Recorder(
            capture=capture,
            optimizers=optimizers,
            config=config,
            ranks=identity.rank.ranks,
            ledger=self._ledger,
            directives=self._directives,
            background_seconds=lambda: (
                self._encoder.cpu_seconds
                + self._hearing.cpu_seconds
                + self._news.forwards.cpu_seconds
            ),
        )
        self._telling = Telling(
            lineage=self._lineage,
            recorder=self._recorder,
            ledger=self._ledger,
            news=self._news,
            directives=self._directives,
            deliver=self._deliver,
            later=self._later,
        )
        self._delivery = open_delivery(
            config,
            self._ledger,
            heartbeat=self._telling.sign_of_life if identity.speaks else None,
            transport=transport,
            on_reply=self._hearing.answered,
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
        self._ending = Ending(
            self._recorder,
            telling=self._telling,
            encoder=self._encoder,
            delivery=self._delivery,
            news=self._news,
            calls=self._calls,
            stop=self._stop_watching,
        )
        self._stepping = Stepping(
            self._recorder,
            encoder=self._encoder,
            telling=self._telling,
            news=self._news,
            wall=self._wall,
            awake=self._awake,
        )
        self._start(optimizers[0])

    @property
    def closed(self) -> bool:
        """Whether the watch is over."""
        return self._ending.begun

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
        self._replaced = self._replaced or not self.closed
        self._calls.run(self._close, EXIT_SECONDS)

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
        self._telling.tell_beginning()
        stepping = self._stepping
        self._hooks = StepHooks(clock, before=stepping.before_step, after=stepping.after_step)
        self._loads = LoadHooks(clock, moved=stepping.moved)
        # A finaliser runs wherever the last reference was dropped: it may only queue.
        self._orphaned = weakref.finalize(clock, self._encoder.call, self._end_orphan)
        self._orphaned.atexit = False
        self._process_end = ProcessEnd(self._at_exit)
        for target in self._config.forward if self._identity.speaks else ():
            self._calls.run(self._news.forward, target)

    def _deliver(self, report: Request) -> None:
        self._delivery.put(report)

    def _later(self, call: Callable[..., None], *given: object) -> None:
        """On the encoder's thread, behind what was given to it."""
        self._encoder.call(lambda: self._calls.run(call, *given))

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
        return not self.closed and self._ours()

    def _flush(self, deadline_seconds: float) -> bool:
        seconds = bounded(deadline_seconds)
        if self._on_own_thread():
            return False
        deadline = time.monotonic() + seconds
        encoded = self._encoder.drain(seconds)
        delivered = self._delivery.flush(left(deadline))
        return self._news.flush(left(deadline)) and delivered and encoded

    def _at_exit(self, error: BaseException | None = None) -> None:
        if not self._ours():
            return
        self._calls.run(self._close, EXIT_SECONDS, error)

    def _end_orphan(self) -> None:
        """On the encoder's thread, once the optimizer no longer exists."""
        self._calls.run(self._telling.read_last_scalars)
        self._calls.run(self._end, EXIT_SECONDS)

    def _close(self, deadline_seconds: float, error: BaseException | None = None) -> None:
        """Ends the watch, as failed where an error says so.

        Called on a thread of ours, as the user's finalisers may be, it is done on another: this one
        has its share to do before the end.
        """
        seconds = bounded(deadline_seconds)
        if not self._ours():
            return
        if self._on_own_thread():
            given = (self._end, seconds, error)
            Thread(target=self._calls.run, args=given, name=END_THREAD_NAME, daemon=True).start()
        else:
            self._end(seconds, error)

    def _end(self, seconds: float, error: BaseException | None = None) -> None:
        self._ending.run(seconds, error)
        if self._ending.over:
            self._process_end.remove()

    def _on_own_thread(self) -> bool:
        return self._encoder.at_work or self._delivery.at_work

    def _stop_watching(self) -> None:
        self._hooks.remove()
        self._loads.remove()
        self._orphaned.detach()
        self._telling.read_last_scalars_later()

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
        if self.closed:
            return f"ended: {self._telling.state}"
        if self._wall.disabled:
            return "switched off after failures, which the log tells"
        return "watching" if self._stepping.begun else "waiting for the first step"
