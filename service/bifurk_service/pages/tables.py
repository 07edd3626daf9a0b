"""The data behind figures as CSV, and lines about them as tables."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Iterator, Sequence

from fastapi.responses import StreamingResponse

from bifurk_service.store.models import Tensor
from bifurk_service.store.series import StatisticSeries

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


def rows_of(
    parts: Iterable[StatisticSeries], tensors: Sequence[Tensor], *, without_value: bool
) -> Iterator[Sequence[object]]:
    """A row a tensor and step of series that come in parts: name, layer, role, step and value.

    Args:
        without_value: whether steps at which a tensor has none are rows as well.
    """
    by_id = {tensor.id: tensor for tensor in tensors}
    for part in parts:
        tensor = by_id[part.tensor_id]
        for step, value in zip(part.steps.tolist(), part.values.tolist(), strict=True):
            if without_value or not math.isnan(value):
                yield tensor.name, tensor.layer, tensor.role, step, value


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
