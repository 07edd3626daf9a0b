"""The whole interface, asked at random by everybody: no 500, and every answer as described."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from bifurk_service.pages import views
from tests.api.test_authorisation import concrete, routes
from tests.api.test_openapi import OPERATIONS
from tests.drawn import DRAWN
from tests.fuzz.conftest import Besieged

MOST_SECONDS = 10.0
ENDLESS = {"get_stream"}
VIEWS = [
    one
    for one in vars(views).values()
    if isinstance(one, type) and issubclass(one, BaseModel) and one is not BaseModel
]
UGLY_TEXTS = (
    "", "0", "1", "-1", "1e999", "NaN", "9" * 30, "std", "log", "all", "true", "\x00", "\ud800",
    "..", "'; drop table runs; --", "<script>", "%s", "{{7*7}}", "é" * 300, "a" * 5_000, "auto",
)  # fmt: skip
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
        max_examples=DRAWN * len(KINDS),
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


def test_no_page_is_a_fault_whatever_its_address_asks_for(
    besieged: Besieged, tmp_path: Path
) -> None:
    callers, filled = besieged
    rng = random.Random(20_261_126)
    fields = [one for view in VIEWS for one in view.model_fields.items()]
    names = sorted({str(field.alias or name) for name, field in fields} | {"a", "b"})
    paths = {path for method, path in routes(tmp_path).values() if method == "GET"}
    pages = sorted(path for path in paths if not path.startswith("/api/"))
    assert len(pages) > 30
    answers: Counter[int] = Counter()
    for path in pages:
        for _ in range(DRAWN // 2):
            asked = {name: rng.choice(UGLY_TEXTS) for name in rng.sample(names, rng.randint(1, 3))}
            target = f"{concrete(path, filled)}?{urlencode(asked, errors='surrogatepass')}"
            began = time.monotonic()
            status, _ = callers["admin"].request("GET", target, headers={"Accept": "text/html"})
            assert status < 500, target
            assert time.monotonic() - began < MOST_SECONDS, target
            answers[status] += 1
    assert answers[200] > sum(answers.values()) / 10, "some are asked something that there is"


def test_what_chance_does_not_come_by_is_described_too(
    besieged: Besieged, operations: dict[str, Any]
) -> None:
    callers, _ = besieged
    made = [
        callers["admin"].request(
            "POST",
            "/api/v1/runs",
            body=b'{"run": "made-twice"}',
            headers={"Content-Type": "application/json"},
        )
        for _ in range(2)
    ]
    assert [status for status, _ in made] == [201, 200]
    for name in ("create_run", "put_part"):
        assert {"200", "201"} <= set(operations[name].definition.raw["responses"]), name
