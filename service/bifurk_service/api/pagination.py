"""Cursor pagination: a page ends with the id to go on after, opaque to the caller."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated

from fastapi import Query

from bifurk_service.errors import InvalidError

Limit = Annotated[int, Query(ge=1, le=1000, description="Most items of a page.")]
Cursor = Annotated[
    str | None, Query(max_length=64, description="`next_cursor` of the page before.")
]


def encode_cursor(last_id: int) -> str:
    """The cursor after an item."""
    return base64.urlsafe_b64encode(f"after:{last_id}".encode()).decode()


def decode_cursor(cursor: str | None) -> int:
    """The id to go on after; 0 without a cursor.

    Raises:
        InvalidError: it is not a cursor of ours.
    """
    if cursor is None:
        return 0
    try:
        word, _, number = base64.urlsafe_b64decode(cursor.encode()).decode().partition(":")
        if word == "after" and number.isascii() and number.isdigit() and len(number) <= 18:
            return int(number)
    except (binascii.Error, UnicodeError):
        pass
    raise InvalidError("expected `next_cursor` of the page before", where="cursor")


def next_cursor(ids: list[int], limit: int) -> str | None:
    """The cursor after a full page; None when the list has ended."""
    return encode_cursor(ids[-1]) if len(ids) == limit else None
