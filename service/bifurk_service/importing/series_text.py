"""Points from text: CSV with a header, or JSON lines."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal, TypeAlias

from bifurk_service.domain import LARGEST
from bifurk_service.errors import InvalidError
from bifurk_service.importing.points import WHOLE_MODEL, Point

Form: TypeAlias = Literal["csv", "jsonl"]

MOST_NAME_CHARACTERS: Final = 512
MOST_STATISTIC_CHARACTERS: Final = 64
"""As long as the names of the table's own may be."""
NEEDED: Final = ("step", "statistic", "value")
FIELDS: Final = (*NEEDED, "tensor")
NO_VALUE: Final = ("", "null", "none", "nan")


def read_points(lines: Iterable[str], form: Form) -> Iterator[Point]:
    """The points of a text, in its order.

    Args:
        lines: of the text.
        form: ``csv``: a header that names ``step``, ``statistic``, ``value`` and, if it likes,
            ``tensor``; ``jsonl``: an object with these fields on every line.

    Raises:
        InvalidError: a line is none; ``where`` names it, counted from 1.
    """
    for number, fields in _csv(lines) if form == "csv" else _json_lines(lines):
        yield _point(fields, f"line {number}")


def _csv(lines: Iterable[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    rows = csv.DictReader(lines, strict=True)
    try:
        missing = [name for name in NEEDED if name not in (rows.fieldnames or ())]
        if missing:
            raise InvalidError(
                f"the header must name {', '.join(FIELDS)}; {', '.join(missing)} missing, "
                f"got {', '.join(rows.fieldnames or ()) or 'nothing'}"[:500],
                where="line 1",
            )
        for row in rows:
            if None in row or None in row.values():
                raise InvalidError(
                    f"expected {len(rows.fieldnames or ())} cells, as the header has",
                    where=f"line {rows.line_num}",
                )
            yield rows.line_num, row
    except csv.Error as error:
        raise InvalidError(f"no CSV: {error}", where=f"line {rows.reader.line_num}") from None


def _json_lines(lines: Iterable[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            document = json.loads(line)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise InvalidError(
                f"expected a JSON object with {', '.join(FIELDS)}, got {line.strip()[:80]!r}",
                where=f"line {number}",
            )
        yield number, document


def _point(fields: Mapping[str, Any], where: str) -> Point:
    missing = [name for name in NEEDED if name not in fields]
    if missing:
        raise InvalidError(f"{', '.join(missing)} missing", where=where)
    tensor = fields.get("tensor")
    return Point(
        step=_step(fields["step"], where),
        tensor=WHOLE_MODEL if tensor in (None, "") else _name(tensor, "tensor", where),
        statistic=_name(fields["statistic"], "statistic", where, most=MOST_STATISTIC_CHARACTERS),
        value=_value(fields["value"], where),
    )


def _step(value: object, where: str) -> int:
    try:
        step = int(value) if isinstance(value, str) else value
    except ValueError:
        step = None
    whole = isinstance(step, float) and step.is_integer()
    if isinstance(step, bool) or not (isinstance(step, int) or whole) or step is None:
        raise InvalidError(f"step is a whole number, got {value!r:.80}", where=where)
    assert isinstance(step, int | float)
    if not 0 <= step <= LARGEST:
        raise InvalidError(f"step is at least 0 and below 2^63, got {value!r:.80}", where=where)
    return int(step)


def _name(value: object, what: str, where: str, *, most: int = MOST_NAME_CHARACTERS) -> str:
    if not isinstance(value, str) or not value.isprintable() or not value.strip():
        raise InvalidError(f"{what} is printable text, got {value!r:.80}", where=where)
    if len(value) > most:
        raise InvalidError(f"{what} has at most {most} characters, got {len(value)}", where=where)
    return value


def _value(value: object, where: str) -> float:
    if value is None or (isinstance(value, str) and value.strip().lower() in NO_VALUE):
        return math.nan
    number = _number(value)
    if number is None:
        raise InvalidError(f"value is a number, got {value!r:.80}", where=where)
    return number if math.isfinite(number) else math.nan


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None
