"""How commands print: a table on a terminal, tab-separated lines into a pipe, JSON on request."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text


def show_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Prints rows under their columns; a pipe gets the same, tab-separated, with a header line."""
    cells = [[plain(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for line in [list(columns), *cells]:
            typer.echo("\t".join(line))
        return
    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for line in cells:
        table.add_row(*(Text(cell) for cell in line))
    Console().print(table)


def show_facts(facts: Sequence[tuple[str, object]]) -> None:
    """Prints one fact a line, names aligned; facts that are None are left out."""
    known = [(name, value) for name, value in facts if value is not None]
    width = max(len(name) for name, _ in known)
    for name, value in known:
        typer.echo(f"{name:<{width}}  {plain(value)}")


def show_json(document: Any) -> None:
    """Prints a document as JSON, readable by people too."""
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


def plain(value: object) -> str:
    """A value as text on one line; what would steer a terminal is replaced.

    Names and sentences come from whoever may send snapshots.
    """
    text = "-" if value is None else str(value)
    return "".join("�" if unicodedata.category(c) in ("Cc", "Cf", "Cs") else c for c in text)


def size(count: int) -> str:
    """Bytes as people read them: 123 B, 5.6 MB, 78 GB."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:,.{0 if count >= 10 * factor else 1}f} {unit}"
    return f"{count} B"


def when(seconds: float | None) -> str | None:
    """A time (seconds since 1970 UTC) as people write it, in UTC; None stays None."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
