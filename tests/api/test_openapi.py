"""The OpenAPI document: its operation ids are a promise to generated clients."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.filling import Caller

OPERATIONS = {
    "get_projects": "GET /api/v1/projects",
    "get_runs": "GET /api/v1/runs",
    "get_run": "GET /api/v1/runs/{run_id}",
    "patch_run": "PATCH /api/v1/runs/{run_id}",
    "put_tag": "PUT /api/v1/runs/{run_id}/tags/{tag}",
    "delete_tag": "DELETE /api/v1/runs/{run_id}/tags/{tag}",
    "delete_run": "DELETE /api/v1/runs/{run_id}",
    "get_pins": "GET /api/v1/runs/{run_id}/pins",
    "post_pin": "POST /api/v1/runs/{run_id}/pins",
    "delete_pin": "DELETE /api/v1/runs/{run_id}/pins/{pin_id}",
    "get_tensors": "GET /api/v1/runs/{run_id}/tensors",
    "get_snapshots": "GET /api/v1/runs/{run_id}/snapshots",
    "get_marks": "GET /api/v1/runs/{run_id}/marks",
    "get_series": "GET /api/v1/runs/{run_id}/series",
    "get_scalar": "GET /api/v1/runs/{run_id}/scalars/{name}",
    "get_statistics": "GET /api/v1/runs/{run_id}/tensors/{tensor_id}/statistics",
    "get_distribution": "GET /api/v1/runs/{run_id}/tensors/{tensor_id}/distribution",
    "get_quantiles": "GET /api/v1/runs/{run_id}/tensors/{tensor_id}/quantiles",
    "get_probability": "GET /api/v1/runs/{run_id}/tensors/{tensor_id}/probability",
    "create_run": "POST /api/v1/runs",
    "post_series": "POST /api/v1/runs/{run_id}/series",
    "get_evidence": "GET /api/v1/alerts/{alert_id}/evidence",
    "replay": "POST /api/v1/runs/{run_id}/replay",
    "get_values": "GET /api/v1/runs/{run_id}/tensors/{tensor_id}/values",
    "get_draws": "GET /api/v1/runs/{run_id}/tensors/{tensor_id}/draws",
    "get_spectrum": "GET /api/v1/runs/{run_id}/tensors/{tensor_id}/spectrum",
    "get_pooled": "GET /api/v1/runs/{run_id}/pooled",
    "get_pooled_distribution": "GET /api/v1/runs/{run_id}/pooled/distribution",
    "get_profile": "GET /api/v1/runs/{run_id}/profile",
    "get_profile_series": "GET /api/v1/runs/{run_id}/profile/series",
    "get_comparison": "GET /api/v1/runs/{run_id}/compare",
    "get_export": "GET /api/v1/runs/{run_id}/export",
    "get_alerts": "GET /api/v1/alerts",
    "get_one_alert": "GET /api/v1/alerts/{alert_id}",
    "get_alert_history": "GET /api/v1/alerts/{alert_id}/history",
    "acknowledge_alert": "POST /api/v1/alerts/{alert_id}/acknowledge",
    "resolve_alert": "POST /api/v1/alerts/{alert_id}/resolve",
    "get_deliveries": "GET /api/v1/deliveries",
    "get_channels": "GET /api/v1/channels",
    "try_channel": "POST /api/v1/channels/{channel}/test",
    "get_stats": "GET /api/v1/stats",
    "get_profile_stats": "GET /api/v1/profiles",
    "get_detectors": "GET /api/v1/detectors",
    "get_stream": "GET /api/v1/stream",
    "put_part": (
        "PUT /api/v1/projects/{project}/runs/{run}/attempts/{attempt}/snapshots/{step}/parts/{rank}"
    ),
    "put_attempt": "PUT /api/v1/projects/{project}/runs/{run}/attempts/{attempt}",
    "get_healthz": "GET /healthz",
    "get_readyz": "GET /readyz",
    "get_audit": "GET /api/v1/audit",
    "get_metrics": "GET /metrics",
}
UNGUARDED = {"get_healthz", "get_readyz"}


@pytest.fixture(scope="module")
def described(anyone: Caller) -> dict[str, tuple[str, dict[str, Any]]]:
    """Operation id to its method and path, and what is said of it."""
    paths = anyone.get("/openapi.json")["paths"]
    return {
        operation["operationId"]: (f"{method.upper()} {path}", operation)
        for path, methods in paths.items()
        for method, operation in methods.items()
    }


def test_operation_ids_and_paths_stay_as_they_were(described: dict[str, Any]) -> None:
    assert {name: where for name, (where, _) in described.items()} == OPERATIONS


def test_every_operation_says_what_it_does(described: dict[str, Any]) -> None:
    for name, (_, operation) in described.items():
        assert operation["description"].strip(), name
        assert operation["tags"], name


def test_every_operation_says_that_it_may_answer_with_a_problem(described: dict[str, Any]) -> None:
    for name, (_, operation) in described.items():
        for status in ("4XX", "5XX"):
            assert "application/problem+json" in operation["responses"][status]["content"], name
        assert "422" not in operation["responses"], name


def test_every_operation_but_the_probes_says_that_it_takes_a_token(
    described: dict[str, Any],
) -> None:
    without = {name for name, (_, operation) in described.items() if "security" not in operation}
    assert without == UNGUARDED


def test_the_interface_can_be_browsed(anyone: Caller) -> None:
    text = anyone.get("/docs")
    assert all(where.partition(" ")[2] in text for where in OPERATIONS.values())
    assert "//" not in text.replace("application/", ""), "it asks no other host for anything"
