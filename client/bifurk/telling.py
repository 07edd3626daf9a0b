"""What a watch tells of its attempts: that they run, that they have ended, and what was lost."""

from __future__ import annotations

import logging
from collections.abc import Callable

from bifurk.directives import Directives
from bifurk.lineage import Life, Lineage
from bifurk.losses import LossLedger
from bifurk.news import News
from bifurk.recorder import Recorder
from bifurk.reports import Reports
from bifurk.scalars import Interval
from bifurk.taken import Reached
from bifurk.transport import Request
from bifurk.wire.attempt import State

_log = logging.getLogger("bifurk")


class Telling:
    """Reports on the attempt there is now, and on those that the training has gone back from.

    Args:
        lineage: the attempts. recorder: how far the training is. ledger: what was lost.
        news: hears of the last scalars. directives: of the attempt there is now.
        deliver: takes what is to be sent. later: makes a call behind the last snapshot that was
            taken, on the encoder's thread.
    """

    def __init__(
        self,
        *,
        lineage: Lineage,
        recorder: Recorder,
        ledger: LossLedger,
        news: News,
        directives: Directives,
        deliver: Callable[[Request], object],
        later: Callable[..., None],
    ) -> None:
        self._lineage = lineage
        self._recorder = recorder
        self._ledger = ledger
        self._news = news
        self._directives = directives
        self._deliver = deliver
        self._later = later
        self._now = self._reports_of(lineage.now)
        self._past: list[Reports] = []

    @property
    def state(self) -> State:
        """How the attempt stands."""
        return self._now.state

    def sign_of_life(self) -> Request:
        """The report of this moment, which is sent once, and may be lost."""
        return self._now.request(kept=False)

    def tell_beginning(self) -> None:
        """That the attempt runs."""
        self._later(self._tell, self._now.request())

    def begin_next_attempt(self) -> None:
        """The training has gone back: what is ended is told, what follows is a life of its own."""
        recorder, past = self._recorder, self._now
        before, reached = self._lineage.now.identity.attempt, recorder.leave()
        life = self._lineage.begin(recorder.next_number)
        recorder.may_go_back = not self._lineage.last
        self._ledger.begin(life.first)
        past.end("finished", reached)
        self._past.append(past)
        self._now = self._reports_of(life)
        self._directives.read({"directives": []})
        running = self._now.request()
        self._later(self._tell_past, past)
        self._later(self._tell, running)
        details = {"from_step": reached.step, "attempt": before}
        recorder.marks.add("resume", step=recorder.step, details=details)
        _log.info(
            "the training went back from step %d to %d: attempt %s ends, %s begins",
            reached.step,
            recorder.step,
            before,
            life.identity.attempt,
        )

    def end(self, state: State, reached: Reached | None) -> None:
        """From now on every report says so; see ``Reports.end``."""
        self._now.end(state, reached)

    def read_last_scalars(self) -> None:
        """What was logged since the last snapshot goes to the last report, and to other tools."""
        self._read(self._now, self._now.take_last_scalars())

    def read_last_scalars_later(self) -> None:
        """The same on the encoder's thread: a device that hangs must not keep the process.

        They are taken here: a signal may have found this thread about to log, and nobody else may
        then look.
        """
        self._later(self._read, self._now, self._now.take_last_scalars())

    def tell_end(self) -> None:
        """How the attempt ended."""
        self._tell(self._now.request())

    def tell_late_losses(self) -> None:
        """The end again where the last deliveries, the end's own included, cost something."""
        for reports in (*self._past, self._now):
            if reports.owe_losses():
                self._tell(reports.request())

    def _tell_past(self, past: Reports) -> None:
        """On the encoder's thread, behind the attempt's last snapshot."""
        self._read(past, past.take_last_scalars())
        self._tell(past.request())

    def _read(self, reports: Reports, left: Interval) -> None:
        self._news.scalars(reports.step, reports.read_last_scalars(left))

    def _tell(self, report: Request) -> None:
        """One process tells how the attempt stands; the others only send their parts."""
        if self._lineage.now.identity.speaks:
            self._deliver(report)

    def _reports_of(self, life: Life) -> Reports:
        return Reports(life=life, recorder=self._recorder, ledger=self._ledger)
