"""The request under way: its id, and what is learnt of it on its way through."""

from __future__ import annotations

import re
import secrets
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from bifurk_service.logs.context import bind

HEADER: Final = "X-Request-ID"
ID_BYTES: Final = 8
SANE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Ids that are taken over: short, and nothing that forges a line, a header or a query."""


@dataclass(slots=True, kw_only=True)
class RequestRecord:
    """What is learnt of a request; the thread that works on it writes here too.

    Attributes:
        token_id: the number of the token it came with, or None.
        refused: why it was turned away, a word of ``errors.REASONS``, or None.
    """

    id: str
    token_id: int | None = None
    refused: str | None = None


_CURRENT: Final[ContextVar[RequestRecord | None]] = ContextVar("bifurk_request", default=None)


def begin_request(wished: str | None) -> RequestRecord:
    """Begins the record of a request, for the task that answers it.

    Args:
        wished: the id that whoever sends it gave it; taken over if it is a sane one.
    """
    sane = wished is not None and SANE.fullmatch(wished)
    record = RequestRecord(id=wished if sane and wished else secrets.token_hex(ID_BYTES))
    _CURRENT.set(record)
    bind(request=record.id)
    return record


def current_request() -> RequestRecord | None:
    """The record of the request that is answered here, or None outside of one."""
    return _CURRENT.get()
