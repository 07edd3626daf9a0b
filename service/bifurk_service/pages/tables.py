"""The data behind figures as CSV, and lines about them as tables."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence

from fastapi.responses import StreamingResponse

ROWS_A_PIECE = 5_000
"""Sent at once."""
FORMULA_BEGINS = ("=", "+", "-", "@", "\t", "\r")
"""Text that a spreadsheet would run; numbers are none."""


def csv_of(
    name: str, columns: Sequence[str], rows: Iterable[Sequence[object]]
) -> StreamingResponse:
    """A download; numbers with all their digits."""
    safe = re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII)
    return StreamingResponse(
        _text(columns, rows),
        media_type="text/csv; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="{safe}"',
            "X-Content-Type-Options": "nosniff",
        },
    )


def _text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow([_harmless(column) for column in columns])
    for place, row in enumerate(rows, start=1):
        writer.writerow([_harmless(value) for value in row])
        if place % ROWS_A_PIECE == 0:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def _harmless(value: object) -> object:
    if isinstance(value, str) and value.startswith(FORMULA_BEGINS):
        return f"'{value}"
    return value
