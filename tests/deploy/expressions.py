"""What a PromQL expression asks for."""

from __future__ import annotations

from typing import Any

import promql_parser


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
