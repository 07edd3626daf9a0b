"""Rows as JSON lines, and back: nothing comes in that its column would not have written."""

from __future__ import annotations

import base64
import binascii
import json
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final

from sqlalchemy import JSON, Boolean, Column, Integer, LargeBinary, String
from sqlalchemy.types import TypeEngine

from bifurk_service.domain import LARGEST
from bifurk_service.errors import InvalidError

MOST_LEVELS: Final = 16
"""Of lists and objects in each other in a document; what bifurk writes has six."""
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")
_UNSTORABLE_ESCAPE: Final = re.compile(r"\\u(0000|d[89a-f])")


def encoded(columns: Sequence[str], rows: Iterable[dict[str, Any]]) -> bytes:
    """Rows as JSON lines, a list of values each; bytes in base64."""
    lines = (json.dumps([_plain(row[name]) for name in columns]) for row in rows)
    return "".join(f"{line}\n" for line in lines).encode()


def _plain(value: Any) -> Any:
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def decoded(columns: Sequence[Column[Any]], text: bytes, where: str) -> list[dict[str, Any]]:
    """Rows as the columns take them.

    Raises:
        InvalidError: a line is no list of such values.
    """
    rows = []
    for number, line in enumerate(text.splitlines(), start=1):
        place = f"{where}, line {number}"
        values = parsed(line, place)
        if not isinstance(values, list) or len(values) != len(columns):
            raise InvalidError(f"{place}: expected a list of {len(columns)} values")
        rows.append(
            {
                column.name: _value(column, value, f"{place}, {column.name}")
                for column, value in zip(columns, values, strict=True)
            }
        )
    return rows


def parsed(text: bytes, where: str) -> Any:
    """A JSON document.

    Raises:
        InvalidError: it is none, or nested beyond measure.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidError(f"{where} is no JSON: {type(error).__name__}") from error


def _value(column: Column[Any], value: Any, where: str) -> Any:
    if value is None:
        if column.nullable or isinstance(column.type, JSON):
            return None
        raise InvalidError(f"{where}: a value is missing")
    if isinstance(column.type, JSON):
        return _document(value, where)
    if isinstance(column.type, LargeBinary):
        return _bytes(value, where)
    if not _fits(column.type, value):
        raise InvalidError(f"{where}: {str(value)[:60]!r} is no {type(column.type).__name__}")
    return value


def _fits(kind: TypeEngine[Any], value: Any) -> bool:
    if isinstance(kind, Boolean):
        return isinstance(value, bool)
    if isinstance(kind, Integer):
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST
    if isinstance(kind, String):
        fits = isinstance(value, str) and (kind.length is None or len(value) <= kind.length)
        return fits and not _UNSTORABLE.search(value)
    return is_number(value)


def is_number(value: Any) -> bool:
    """Whether a value is a number that float64 holds; none of NaN, infinities and booleans is."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and abs(value) <= sys.float_info.max


def _document(value: Any, where: str) -> Any:
    _check_contents(value, where, levels=MOST_LEVELS)
    if _UNSTORABLE_ESCAPE.search(json.dumps(value, ensure_ascii=True)):
        raise InvalidError(f"{where}: holds text that no database takes")
    return value


def _check_contents(value: Any, where: str, *, levels: int) -> None:
    if isinstance(value, dict | list):
        if not levels:
            raise InvalidError(f"{where}: is nested more than {MOST_LEVELS} levels deep")
        for inner in value.values() if isinstance(value, dict) else value:
            _check_contents(inner, where, levels=levels - 1)
    elif not (value is None or isinstance(value, str | bool) or is_number(value)):
        raise InvalidError(f"{where}: {str(value)[:60]!r} is no number that JSON has")
    elif isinstance(value, int) and abs(value) > LARGEST:
        raise InvalidError(f"{where}: {str(value)[:60]!r} is beyond what whole numbers may be")


def _bytes(value: Any, where: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise InvalidError(f"{where}: not base64") from None
