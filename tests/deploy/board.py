"""The committed dashboard as tests read it: queries, and variables as Grafana fills them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

PATH = Path(__file__).parents[2] / "deploy/grafana/dashboards/bifurk.json"
BOARD: dict[str, Any] = json.loads(PATH.read_text())
PANELS: list[dict[str, Any]] = [panel for panel in BOARD["panels"] if panel["type"] != "row"]
VARIABLES: list[dict[str, Any]] = BOARD["templating"]["list"]
QUERIES: list[tuple[str, str]] = [
    (panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]
]
"""Title of the panel and expression, a pair a query."""

each_query = pytest.mark.parametrize(
    ("title", "expression"), QUERIES, ids=[title for title, _ in QUERIES]
)

RATE_INTERVAL = "1m"


def filled(expression: str) -> str:
    """The expression with every variable at All, as Grafana sends it."""
    for variable in VARIABLES:
        expression = expression.replace(f"${variable['name']}", variable["allValue"])
    expression = expression.replace("$__rate_interval", RATE_INTERVAL)
    assert "$" not in expression, f"an unknown variable in {expression}"
    return expression


def label_values(variable: dict[str, Any]) -> tuple[str, str]:
    """The selector and the label of a variable's `label_values(selector, label)`."""
    found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
    assert found is not None, variable["query"]
    return filled(found[1]), found[2]
