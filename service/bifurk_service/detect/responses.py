"""How strongly statistics were seen to respond to each of the run's own scheduled changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from bifurk_service.domain import Mark

REMEMBERED_RESPONSES: Final = 512
"""A few dozen changes of a kind, over all watched statistics."""


@dataclass(slots=True, kw_only=True)
class _Response:
    """The largest change of a statistic seen with one mark; see ``Finding.response``."""

    kind: str
    step: int
    statistic: str
    size: float


class Responses:
    """By kind of mark and statistic, the changes seen so far; the oldest are forgotten."""

    def __init__(self) -> None:
        self._seen: list[_Response] = []

    def before(self, mark: Mark, statistic: str) -> float:
        """The largest response to an earlier mark of this kind; 0 where there was none."""
        return max(
            (
                one.size
                for one in self._seen
                if (one.kind, one.statistic) == (mark.kind, statistic) and one.step < mark.step
            ),
            default=0.0,
        )

    def remember(self, mark: Mark, statistic: str, size: float) -> None:
        """Notes a response; of several to one mark the largest."""
        for one in self._seen:
            if (one.kind, one.step, one.statistic) == (mark.kind, mark.step, statistic):
                one.size = max(one.size, size)
                return
        found = _Response(kind=mark.kind, step=mark.step, statistic=statistic, size=size)
        self._seen = [*self._seen, found][-REMEMBERED_RESPONSES:]

    def as_json(self) -> list[dict[str, Any]]:
        """The whole memory."""
        return [asdict(one) for one in self._seen]

    def restore(self, document: Sequence[dict[str, Any]]) -> None:
        """Takes up what ``as_json`` gave."""
        self._seen = [_Response(**entry) for entry in document]
