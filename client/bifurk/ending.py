"""How a watch ends: once, in an order that tells it whatever hangs, and within a deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from bifurk.deadlines import before_last_share, left
from bifurk.delivery import Delivery
from bifurk.encoder import Encoder
from bifurk.guard import Wall
from bifurk.news import News
from bifurk.recorder import Recorder
from bifurk.telling import Telling


class Ending:
    """The end of a watch; safe to use from any thread.

    Args:
        recorder: is let go of. telling: of the end. encoder, delivery, news: closed, in this order.
        calls: what each of it goes through. stop: takes the hooks off.
    """

    def __init__(
        self,
        recorder: Recorder,
        *,
        telling: Telling,
        encoder: Encoder,
        delivery: Delivery,
        news: News,
        calls: Wall,
        stop: Callable[[], None],
    ) -> None:
        self._recorder = recorder
        self._telling = telling
        self._encoder = encoder
        self._delivery = delivery
        self._news = news
        self._calls = calls
        self._stop = stop
        self._ending = threading.Lock()
        self._by: int | None = None
        self._over = False
        self._begun = False

    @property
    def begun(self) -> bool:
        """Whether the end has begun, or is over."""
        return self._begun

    @property
    def over(self) -> bool:
        """Whether the end is over."""
        return self._over

    def run(self, seconds: float, error: BaseException | None = None) -> None:
        """Ends the watch within so long, as failed where an error says so, unless that is done.

        Waits for another thread that is at it. An interrupt in the middle passes; the next call
        then begins again.
        """
        deadline = time.monotonic() + seconds
        if not self._ending.acquire(timeout=0.0 if self._is_waited_for() else seconds):
            return
        try:
            self._by = threading.get_ident()
            if not self._over:
                self._begun = True
                self._end(left(deadline), error)
                self._over = True
        finally:
            self._by = None
            self._ending.release()

    def _is_waited_for(self) -> bool:
        """Whether an end under way is the caller's own, or cannot be over before the caller is."""
        own = self._by == threading.get_ident()
        return own or self._encoder.at_work or self._news.at_work

    def _end(self, seconds: float, error: BaseException | None) -> None:
        recorder = self._recorder
        if error is not None:
            self._calls.run(recorder.mark_error, error)
        deadline = time.monotonic() + seconds
        self._telling.end(
            "finished" if error is None else "failed",
            recorder.leave() if recorder.went_back else None,
        )
        try:
            self._calls.run(self._stop)
            self._calls.run(self._encoder.close, before_last_share(seconds))
        finally:
            # After an interrupt as well: the end then lies in the spool, and is on its way.
            self._calls.run(self._telling.tell_end)
        self._calls.run(recorder.free)
        self._calls.run(self._tell_late_losses, before_last_share(left(deadline)))
        self._calls.run(self._delivery.close, left(deadline))
        self._calls.run(self._news.close, left(deadline))

    def _tell_late_losses(self, deadline_seconds: float) -> None:
        self._delivery.flush(deadline_seconds)
        self._telling.tell_late_losses()
