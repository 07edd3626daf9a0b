"""What rows of an archive must hold beyond the types of their columns, for all who read them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from bifurk.wire.slug import check_slug
from bifurk_service.archives.documents import wrong_form
from bifurk_service.domain import LARGEST, AlertState, AttemptState, Severity
from bifurk_service.errors import InvalidError
from bifurk_service.stats.statistic import Nature
from bifurk_service.store.imports import IMPORT
from bifurk_service.store.kept_extremes import BINS, CELL, STAGES, span
from bifurk_service.store.row_values import is_number
from bifurk_service.store.runs import CLIENT
from bifurk_service.store.snapshots import FAILED, JUDGED, LATE, MEASURED, RECEIVED
from bifurk_service.store.spectra import VALUES

WORDS: Final[Mapping[tuple[str, str], frozenset[str]]] = {
    ("attempts", "state"): frozenset(AttemptState),
    ("attempts", "source"): frozenset({CLIENT, IMPORT}),
    ("snapshots", "state"): frozenset({RECEIVED, MEASURED, JUDGED, LATE, FAILED}),
    ("alerts", "state"): frozenset(AlertState),
    ("alerts", "severity"): frozenset(Severity),
    ("alert_changes", "state"): frozenset(AlertState),
    ("alert_changes", "severity"): frozenset(Severity),
    ("imported_statistics", "nature"): frozenset(Nature),
    ("parts", "encoding"): frozenset({"zstd", "identity"}),
}
MULTIPLES: Final[Mapping[tuple[str, str], int]] = {
    ("spectra", "singular_values"): 8,
    ("spectrum_progress", "first_vectors"): 4,
    ("extremes", "data"): 8 * 2 * BINS,
    ("kept_extremes", "data"): CELL.itemsize * 2 * BINS,
}
"""Bytes that arrays are made of."""


def check_rows(name: str, rows: Sequence[dict[str, Any]]) -> None:
    """Raises ``InvalidError`` unless every row of a table is one that bifurk could have written."""
    for row in rows:
        for column, value in row.items():
            problem = _problem(name, column, value)
            if problem:
                raise InvalidError(f"{name}.{column} {problem}: {str(value)[:60]!r}")
        check = _OF_TABLE.get(name)
        if check is not None and not check(row):
            raise InvalidError(f"a row of {name} is none that bifurk writes: {str(row)[:200]}")


def _problem(name: str, column: str, value: Any) -> str:
    place = (name, column)
    if place in WORDS and value not in WORDS[place]:
        return "is none of its words"
    if place in MULTIPLES and value is not None and len(value) % MULTIPLES[place]:
        return "is cut off"
    return wrong_form(name, column, value) or ""


def _is_attempt(row: dict[str, Any]) -> bool:
    try:
        check_slug(row["slug"], "attempt")
    except ValueError:
        return False
    return True


def _is_run(row: dict[str, Any]) -> bool:
    name, days, most = row["display_name"], row["retention_days"], row["keep_bytes"]
    return (
        is_number(row["created_at"])
        and (name is None or (isinstance(name, str) and len(name) <= 512 and "\0" not in name))
        and (days is None or (is_number(days) and days > 0))
        and (most is None or (isinstance(most, int) and 0 < most <= LARGEST))
    )


def _is_thinning(row: dict[str, Any]) -> bool:
    stage, block = row["stage"], row["block"]
    is_under_way = stage in STAGES and block is not None and block % (BINS * span(stage)) == 0
    return len(row["reached"]) == len(STAGES) and (
        (stage is None and block is None) or (is_under_way and 0 <= block < LARGEST // 2)
    )


def _is_snapshot(row: dict[str, Any]) -> bool:
    return row["step"] >= 0 and row["sequence"] >= 0 and row["thinned"] in (0, 1, 2)


def _is_spectrum(row: dict[str, Any]) -> bool:
    values = np.frombuffer(row["singular_values"], dtype=VALUES)
    return (
        1 <= values.size <= min(row["rows"], row["columns"])
        and bool(np.isfinite(values).all())
        and values[-1] >= 0.0
        and bool((np.diff(values) <= 0.0).all())
    )


_OF_TABLE: Final[Mapping[str, Callable[[dict[str, Any]], bool]]] = {
    "runs": _is_run,
    "attempts": _is_attempt,
    "thinnings": _is_thinning,
    "snapshots": _is_snapshot,
    "spectra": _is_spectrum,
}
