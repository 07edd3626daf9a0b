"""What an answer means for the request it answers, and how long to wait before the next try."""

from __future__ import annotations

import contextlib
import email.utils
import enum
import json
import math
import random
import time
from typing import Final

from bifurk.transport import Response

BASE_SECONDS: Final = 0.5
MAX_SECONDS: Final = 60.0
"""A longer pause, by backoff or at the server's wish, only makes a recovery slower to see."""

RETRIED_REFUSALS: Final = frozenset({408, 429})
"""The 4xx that speak of the moment and not of the request."""

SHUT_DOORS: Final = frozenset({401, 403, 404, 405})
"""The 4xx that speak of the way to the server and not of the request: a token, a url or a proxy
that somebody has yet to mend. Dropping for them would empty a whole spool of sound snapshots."""

SHUT_SECONDS: Final = 15.0
"""Between two tries at a shut door, at least: only a person opens it."""

MAX_ID_CHARACTERS: Final = 64
MAX_PROBLEM_CHARACTERS: Final = 300


class Verdict(enum.Enum):
    """What becomes of a request; ``SHUT``: it waits for a person to open the way."""

    DELIVERED = "delivered"
    CONFLICT = "conflict"
    REJECTED = "rejected"
    RETRY = "retry"
    SHUT = "shut"


def verdict(status: int) -> Verdict:
    """Judges a status: 2xx is delivered, the 4xx that speak of the request are final.

    All else is tried again; where the door is shut, slowly.
    """
    if 200 <= status < 300:
        return Verdict.DELIVERED
    if status == 409:
        return Verdict.CONFLICT
    if status in SHUT_DOORS:
        return Verdict.SHUT
    if 400 <= status < 500 and status not in RETRIED_REFUSALS:
        return Verdict.REJECTED
    return Verdict.RETRY


def outcome(response: Response) -> Verdict:
    """As ``verdict``; a refusal that asks to be tried again is: the request was not what was sent.

    So a body that was cut or changed on its way is no loss. What is damaged on every way has to be
    given up all the same, by whoever tries again.
    """
    found = verdict(response.status)
    asks = found is Verdict.REJECTED and retry_after_seconds(response) > 0
    return Verdict.RETRY if asks else found


def retry_after_seconds(response: Response) -> float:
    """The wait the server asks for, from 0 (none, or not understood) to ``MAX_SECONDS``."""
    text = response.headers.get("retry-after", "").strip()
    seconds = math.nan
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        if text.isascii() and text.isdigit():
            seconds = float(text)
        elif text:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
    return min(max(0.0, seconds), MAX_SECONDS) if math.isfinite(seconds) else 0.0


def shut_advice(status: int) -> str:
    """What a person can do about a status of ``SHUT_DOORS``."""
    if status == 401:
        return "token missing or refused (401): set BIFURK_TOKEN"
    if status == 403:
        return "token not allowed to write here (403): set BIFURK_TOKEN to one that is"
    return f"no bifurk server there ({status}): check BIFURK_URL, its path too"


def problem_text(response: Response) -> str:
    """What the server says is wrong, from ``application/problem+json`` or any text; printable.

    With the id under which the server's own log tells of the request, where it names one.
    """
    text, request = response.body.decode("utf-8", "replace"), ""
    with contextlib.suppress(ValueError, RecursionError):
        document = json.loads(text)
        if isinstance(document, dict):
            text = str(document.get("detail") or document.get("title") or text)
            if document.get("request_id"):
                request = (
                    f" [request {_printable(str(document['request_id'])[:MAX_ID_CHARACTERS])}]"
                )
    return (_printable(text[:MAX_PROBLEM_CHARACTERS]).strip() or "no reason given") + request


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)


class Backoff:
    """Exponential backoff with full jitter: uniform from 0 to base x 2^n, capped.

    Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.

    Args:
        rng: a generator of its own: the training's random state is never touched.
    """

    def __init__(self, rng: random.Random | None = None) -> None:
        self._rng = rng or random.Random()  # noqa: S311 - jitter needs no secrecy
        self._failures = 0

    def next_seconds(self, *, at_least: float = 0.0) -> float:
        """Counts a failure and says how long to wait, at most ``MAX_SECONDS``."""
        ceiling = min(MAX_SECONDS, BASE_SECONDS * 2.0 ** min(self._failures, 32))
        self._failures += 1
        return min(MAX_SECONDS, max(at_least, self._rng.uniform(0.0, ceiling)))

    def reset(self) -> None:
        """Starts again from the shortest waits."""
        self._failures = 0
