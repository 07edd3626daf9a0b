"""What a watch learns from the server's answers to its requests; all on the sender's thread."""

from __future__ import annotations

from bifurk.answers import document
from bifurk.directives import Directives
from bifurk.lineage import Lineage
from bifurk.neighbours import Neighbours
from bifurk.news import News
from bifurk.overhead import ThreadTime
from bifurk.transport import Request, Response


class Hearing:
    """Hands every answer to whom it concerns.

    Args:
        lineage: which attempts are this watch's. directives: told of the server's wishes; None
            where they are not followed. news: told of what the server has found.
    """

    def __init__(self, lineage: Lineage, *, directives: Directives | None, news: News) -> None:
        self._lineage = lineage
        self._directives = directives
        self._news = news
        self._neighbours = Neighbours(lineage.now.identity)
        self._time = ThreadTime()

    @property
    def cpu_seconds(self) -> float:
        """Processor time of the sender's thread until the last answer."""
        return self._time.seconds

    def answered(self, request: Request, response: Response) -> None:
        """Reads an accepted request's answer."""
        # What an earlier process left is sent as well, and answered about an attempt of its own.
        if self._lineage.now.identity.owns(request.path):
            answer = document(response)
            self._neighbours.read(answer)
            if self._directives is not None:
                self._directives.read(answer)
            self._news.answered(answer)
        self._time.tell()
