"""The whole interface, asked at random by everybody: no 500, and every answer as described."""

from __future__ import annotations

import os
import time
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.api.test_openapi import OPERATIONS
from tests.fuzz.conftest import Besieged

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "4"))
"""A way of generating and operation; ``make fuzz`` asks for more."""
MOST_SECONDS = 10.0
ENDLESS = {"get_stream"}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
KINDS = [GenerationMode.POSITIVE, GenerationMode.NEGATIVE]


@pytest.fixture(scope="module")
def operations(besieged: Besieged) -> dict[str, Any]:
    callers, _ = besieged
    server = callers["admin"].server
    schema = schemathesis.openapi.from_dict(server.get("/openapi.json"))
    schema.config.update(base_url=server.url)
    found = [result.ok() for result in schema.get_all_operations()]
    return {one.definition.raw["operationId"]: one for one in found}


def test_all_operations_are_asked(operations: dict[str, Any]) -> None:
    assert set(operations) == set(OPERATIONS)


@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - ENDLESS))
def test_no_answer_is_a_fault_and_all_are_as_described(
    besieged: Besieged, operations: dict[str, Any], name: str
) -> None:
    callers, filled = besieged
    there = {
        "run_id": filled.run,
        "tensor_id": filled.tensor,
        "alert_id": filled.alert,
        "project": "tests",
        "run": "run",
        "attempt": "first",
    }
    if name == "delete_run":
        del there["run_id"]
    operation = operations[name]
    cases = st.one_of(*(operation.as_strategy(generation_mode=kind) for kind in KINDS))

    @settings(
        max_examples=EXAMPLES * len(KINDS),
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases, who=st.sampled_from(["admin", *sorted(callers)]), there_is=st.booleans())
    def ask(case: Any, who: str, there_is: bool) -> None:
        if there_is:
            case.path_parameters.update(
                {key: value for key, value in there.items() if key in case.path_parameters}
            )
        began = time.monotonic()
        response = case.call(headers=callers[who].headers, timeout=MOST_SECONDS)
        assert time.monotonic() - began < MOST_SECONDS
        case.validate_response(response, checks=CHECKS)

    ask()
