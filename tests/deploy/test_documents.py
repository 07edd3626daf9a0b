"""The documents about running bifurk say what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bifurk_service.metrics import METRICS
from bifurk_service.settings import Settings
from tests.deploy.expressions import EXPOSED, OF_PROMETHEUS, metric_names

DOCS = Path(__file__).parents[2] / "docs"
OPERATIONS = (DOCS / "operations.md").read_text()
EXPRESSIONS = [
    line
    for block in re.findall(r"```promql\n(.*?)```", OPERATIONS, re.DOTALL)
    for line in block.splitlines()
]


def test_the_table_of_metrics_is_the_one_of_the_code() -> None:
    rows = re.findall(
        r"^\| `(bifurk_\w+)` \| (\w+) \| (.*?) \| (.*?) \|$",
        (DOCS / "metrics.md").read_text(),
        re.MULTILINE,
    )
    assert rows == [
        (row.name, row.kind, ", ".join(f"`{label}`" for label in row.labels), row.meaning)
        for row in METRICS
    ]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expressions_to_watch_parse_and_name_metrics_of_the_table(expression: str) -> None:
    names = metric_names(expression) - OF_PROMETHEUS
    assert names <= EXPOSED


def test_there_are_expressions_to_watch() -> None:
    assert len(EXPRESSIONS) >= 5


def test_every_setting_that_the_operations_name_exists() -> None:
    settings = {f"BIFURK_{name.upper()}" for name in Settings.model_fields}
    client = {"BIFURK_URL", "BIFURK_TOKEN"}
    assert set(re.findall(r"BIFURK_[A-Z_]+", OPERATIONS)) <= settings | client
