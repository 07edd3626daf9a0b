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
        self._over = threading.Event()
        self._begun = False

    @property
    def begun(self) -> bool:
        """Whether the end has begun, or is over."""
        return self._begun

    @property
    def over(self) -> bool:
        """Whether the end is over."""
        return self._over.is_set()

    def run(self, seconds: float, error: BaseException | None = None) -> None:
        """Ends the watch, as failed where an error says so, unless that is done or under way.

        An interrupt in the middle passes; the next call then begins again.
        """
        if not self._ending.acquire(blocking=False):
            return
        try:
            if not self._over.is_set():
                self._begun = True
                self._end(seconds, error)
                self._over.set()
        finally:
            self._ending.release()

    def wait(self, seconds: float) -> None:
        """Until the end is over, for so long at most."""
        self._over.wait(seconds)

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
