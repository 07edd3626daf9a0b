"""The committed dashboards as tests read them: queries, and variables as Grafana fills them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "deploy/grafana/dashboards"
BOARDS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))
}
"""By uid, which is the file's name too."""
RATE_INTERVAL = "1m"
MACROS = {"$__unixEpochFrom()": "0", "$__unixEpochTo()": "4102444800"}
"""A time range that holds everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One query of a panel, an annotation or a variable of a dashboard."""

    board: str
    title: str
    text: str

    @property
    def id(self) -> str:
        return f"{self.board}-{self.title}"


def panels(uid: str) -> list[dict[str, Any]]:
    """A dashboard's panels without the headings of its rows."""
    return [panel for panel in BOARDS[uid]["panels"] if panel["type"] != "row"]


def variables(uid: str) -> dict[str, dict[str, Any]]:
    """A dashboard's variables by name."""
    return {variable["name"]: variable for variable in BOARDS[uid]["templating"]["list"]}


def _asked() -> Iterator[tuple[str, Asked]]:
    """The kind of data source and the query."""
    for uid, board in BOARDS.items():
        for panel in panels(uid):
            for target in panel["targets"]:
                kind = panel["datasource"]["type"]
                text = target.get("expr") or target["rawSql"]
                yield kind, Asked(board=uid, title=panel["title"], text=text)
        for annotation in board["annotations"].get("list", []):
            target = annotation["target"]
            text = target.get("expr") or target["rawSql"]
            kind = annotation["datasource"]["type"]
            yield kind, Asked(board=uid, title="annotation", text=text)
        for variable in variables(uid).values():
            if variable["type"] == "query":
                title = f"variable {variable['name']}"
                kind = variable["datasource"]["type"]
                yield kind, Asked(board=uid, title=title, text=variable["query"])


def _of(kind: str) -> list[Asked]:
    return [asked for found, asked in _asked() if found == kind]


PROMQL = [asked for asked in _of("prometheus") if not asked.title.startswith("variable ")]
LABELS = [asked for asked in _of("prometheus") if asked.title.startswith("variable ")]
SQL = _of("grafana-postgresql-datasource")

each_promql = pytest.mark.parametrize("asked", PROMQL, ids=lambda asked: asked.id)
each_label = pytest.mark.parametrize("asked", LABELS, ids=lambda asked: asked.id)
each_sql = pytest.mark.parametrize("asked", SQL, ids=lambda asked: asked.id)
each_board = pytest.mark.parametrize("uid", BOARDS)


def filled_promql(expression: str) -> str:
    """The expression with every variable at All, as Grafana sends it."""
    expression = expression.replace("$__rate_interval", RATE_INTERVAL)
    expression = re.sub(r"\$(project|run|role)\b", ".*", expression)
    assert "$" not in expression, f"an unknown variable in {expression}"
    return expression


def filled_sql(text: str, chosen: Mapping[str, list[str]]) -> str:
    """The text with its variables quoted or, where it says raw, as they are."""
    for macro, value in MACROS.items():
        text = text.replace(macro, value)

    def value(match: re.Match[str]) -> str:
        values = chosen[match[1]]
        if match[2] == "raw":
            return ",".join(values)
        return ",".join("'" + one.replace("'", "''") + "'" for one in values)

    text = re.sub(r"\$\{(\w+):(sqlstring|raw)\}", value, text)
    assert "$" not in text, f"an unknown variable in {text}"
    return text


def label_values(asked: Asked) -> tuple[str, str]:
    """The selector and the label of a variable's `label_values(selector, label)`."""
    found = re.fullmatch(r"label_values\((.+), (\w+)\)", asked.text)
    assert found is not None, asked.text
    return filled_promql(found[1]), found[2]
