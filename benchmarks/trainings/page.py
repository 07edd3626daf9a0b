"""Tables in Markdown, and a page with tables between its markers; the prose around them stays."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

MARKED: Final = re.compile(
    r"(?P<open><!-- numbers: (?P<name>[\w-]+) -->\n).*?(?P<close><!-- end -->)", re.DOTALL
)


def filled(page: str, tables: Mapping[str, str]) -> str:
    """The page with each table between its markers.

    Markers are ``<!-- numbers: NAME -->`` and ``<!-- end -->``, each on a line of its own.

    Raises:
        ValueError: the page does not have exactly one place for each table.
    """
    places = [match["name"] for match in MARKED.finditer(page)]
    if sorted(places) != sorted(tables):
        raise ValueError(f"the page has places for {places}, the tables are {list(tables)}")
    return MARKED.sub(lambda m: f"{m['open']}\n{tables[m['name']]}\n\n{m['close']}", page)


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
