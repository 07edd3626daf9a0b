"""What a PromQL expression asks for, and what there is to ask for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import promql_parser
import yaml

from bifurk_service.metrics import METRICS

RULES = Path(__file__).parents[2] / "deploy/prometheus/rules"
EXPOSED = {row.name for row in METRICS} | {
    f"{row.name}{suffix}"
    for row in METRICS
    if row.kind == "histogram"
    for suffix in ("_bucket", "_sum", "_count")
}
"""What the service exposes."""
RECORDED = {
    rule["record"]
    for path in RULES.glob("*.yml")
    for group in yaml.safe_load(path.read_text())["groups"]
    for rule in group["rules"]
    if "record" in rule
}
"""What the recording rules make of it."""
OF_PROMETHEUS = {"up", "ALERTS"}
"""What Prometheus adds by itself."""


def metric_names(expression: str) -> set[str]:
    """Names of all metrics in an expression, which must parse."""
    names: set[str] = set()

    def note(node: Any) -> bool:
        if isinstance(node, promql_parser.MatrixSelector):
            node = node.vector_selector
        if isinstance(node, promql_parser.VectorSelector) and node.name is not None:
            names.add(node.name)
        return True

    promql_parser.walk(promql_parser.parse(expression), note)
    return names
