"""What happens at the optimizer's steps: snapshots that are due, and what a step back begins."""

from __future__ import annotations

from collections.abc import Callable

from bifurk.encoder import Encoder
from bifurk.guard import Wall
from bifurk.news import News
from bifurk.recorder import Recorder
from bifurk.telling import Telling


class Stepping:
    """What the hooks on the clock call; nothing of it raises into the training.

    Args:
        recorder: takes snapshots. encoder: is given them. telling: of attempts. news: forwards
            begin with the first step. wall: what stands between. awake: whether it still watches.
    """

    def __init__(
        self,
        recorder: Recorder,
        *,
        encoder: Encoder,
        telling: Telling,
        news: News,
        wall: Wall,
        awake: Callable[[], bool],
    ) -> None:
        self._recorder = recorder
        self._encoder = encoder
        self._telling = telling
        self._news = news
        self._wall = wall
        self._awake = awake
        self._begun = False

    @property
    def begun(self) -> bool:
        """Whether there was a step."""
        return self._begun

    def before_step(self) -> None:
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

    def after_step(self, void: int) -> None:
        """Counts it, unless it was void, and takes a snapshot where one is due."""
        if self._wall.run(self._recorder.advance, 1 - void) and self._awake():
            self._wall.run(self._take_snapshot)

    def moved(self, steps: int) -> None:
        """A checkpoint was loaded from so many steps later; of below 0 from before."""
        if self._begun and self._awake():
            self._wall.run(self._recorder.load, steps)

    def _begin_next_attempt(self) -> None:
        self._telling.begin_next_attempt()
        if self._recorder.due():
            self._take_snapshot()

    def _take_snapshot(self) -> None:
        taken = self._recorder.take()
        if taken is not None:
            self._encoder.submit(taken)
