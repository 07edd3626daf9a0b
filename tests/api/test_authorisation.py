"""Every endpoint, called by everybody: a new one is not let in before it is in the table."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import urllib3
from fastapi.routing import iter_route_contexts

from bifurk_service.app import create_app
from bifurk_service.settings import Settings
from tests.api.conftest import CHANNEL, Guarded
from tests.api.filling import Caller, Filled, broken_part
from tests.asking import asked

ANYBODY = "anybody"
PASSES = "passes"
HIDDEN = "hidden"
"""Answers as if there were nothing: 404, or a list without it."""
REFUSED = "refused"
UNKNOWN = "401"
"""Whoever comes without a token that is known."""

NEEDS = {
    "get_sign_in": ANYBODY,
    "post_sign_in": UNKNOWN,
    "post_sign_out": ANYBODY,
    "get_asset": ANYBODY,
    "get_healthz": ANYBODY,
    "get_readyz": ANYBODY,
    "put_part": "write",
    "put_attempt": "write",
    "get_projects": "read",
    "get_runs": "read",
    "get_run": "read",
    "get_tensors": "read",
    "get_snapshots": "read",
    "get_marks": "read",
    "get_series": "read",
    "get_scalar": "read",
    "get_statistics": "read",
    "get_distribution": "read",
    "get_quantiles": "read",
    "get_probability": "read",
    "create_run": "write",
    "post_series": "write",
    "get_evidence": "read",
    "replay": "admin",
    "get_values": "admin",
    "get_draws": "read",
    "get_spectrum": "read",
    "get_pooled": "read",
    "get_pooled_distribution": "read",
    "get_profile": "read",
    "get_profile_series": "read",
    "get_comparison": "read",
    "get_export": "read",
    "get_alerts": "read",
    "get_one_alert": "read",
    "get_alert_history": "read",
    "get_deliveries": "read",
    "get_channels": "read",
    "get_stats": "read",
    "get_profile_stats": "read",
    "get_detectors": "read",
    "get_stream": "read",
    "get_metrics": "read",
    "get_audit": "admin",
    "acknowledge_alert": "admin",
    "resolve_alert": "admin",
    "try_channel": "admin",
    "patch_run": "admin",
    "put_tag": "admin",
    "delete_tag": "admin",
    "delete_run": "admin",
    "get_pins": "read",
    "post_pin": "admin",
    "delete_pin": "admin",
    "get_interface": ANYBODY,
    "get_runs_page": "read",
    "get_run_page": "read",
    "post_tags": "admin",
    "get_overview": "read",
    "get_overview_data": "read",
    "get_tensor_page": "read",
    "get_tensor_garden": "read",
    "get_tensor_garden_data": "read",
    "get_tensor_statistics_data": "read",
    "get_tensor_spectra_data": "read",
    "get_tensor_histogram": "read",
    "get_tensor_histogram_data": "read",
    "get_tensor_spectrum": "read",
    "get_tensor_spectrum_data": "read",
    "get_alerts_page": "read",
    "get_alert_page": "read",
    "post_alert_page": "admin",
    "get_evidence_figure": "read",
    "get_evidence_data": "read",
    "get_onsets_figure": "read",
    "get_onsets_data": "read",
    "get_branches_page": "read",
    "get_trajectories": "read",
    "get_trajectories_data": "read",
    "get_depth_profile": "read",
    "get_depth_profile_data": "read",
    "get_branch_order": "read",
    "get_branch_order_data": "read",
    "get_compare_page": "read",
    "get_differences": "read",
    "get_leaving": "read",
    "get_compared_densities": "read",
    "get_compared_densities_data": "read",
    "get_compared_profiles": "read",
    "get_compared_profiles_data": "read",
    "get_compared_courses": "read",
    "get_compared_courses_data": "read",
    "get_baseline": "read",
    "get_baseline_data": "read",
    "get_report": "read",
}
"""Operation to the scope it needs."""

FOR_ALL_PROJECTS = {"get_stats", "get_profile_stats", "get_detectors", "get_stream"}
"""What a token confined to another project may call: it tells nothing of this one."""
OF_ALL_PROJECTS = {"get_metrics", "get_channels", "try_channel", "get_audit"}
CHOICE = '<option value="non_finite">non_finite</option>'
"""A kind that a page lets choose from, of which it says nothing else."""
DESCRIPTIONS = {"/openapi.json"}
"""FastAPI's own, which says what the interface is and nothing of what it holds."""
SCOPES = {"write": {"write"}, "read": {"read"}, "admin": {"write", "read", "admin"}}
QUERIES = {
    "get_series": "?stat=std",
    "get_profile_series": "?name=std_depth_correlation",
    "get_comparison": "?with_step=0",
    "get_differences": "?a={run_id}",
    "get_leaving": "?a={run_id}",
    "get_compared_densities": "?a={run_id}",
    "get_compared_densities_data": "?a={run_id}",
    "get_compared_profiles": "?a={run_id}",
    "get_compared_profiles_data": "?a={run_id}",
    "get_compared_courses": "?a={run_id}",
    "get_compared_courses_data": "?a={run_id}",
    "get_baseline": "?a={run_id}",
    "get_baseline_data": "?a={run_id}",
}


@pytest.fixture(scope="module")
def operations(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str]]:
    """Operation to its method and path, as the application routes them."""
    return routes(tmp_path_factory.mktemp("routes"))


def routes(data_dir: Path) -> dict[str, tuple[str, str]]:
    app = create_app(Settings(data_dir=data_dir), make_executor=ThreadPoolExecutor)
    found = iter_route_contexts(app.routes)
    return {
        str(route.name): (min(route.methods or ()), str(route.path))
        for route in found
        if str(route.path) not in DESCRIPTIONS
    }


def concrete(path: str, filled: Filled) -> str:
    values = {
        "project": "tests",
        "run": "run",
        "attempt": "first",
        "step": 10,
        "rank": 0,
        "run_id": filled.run,
        "tensor_id": filled.small_tensor if path.endswith("/values") else filled.tensor,
        "alert_id": filled.alert,
        "channel": CHANNEL,
        "name": "page.css",
        "tag": "seen",
        "pin_id": 1,
    }
    return path.replace("{name:path}", "loss").format(**values)


BODIES: dict[str, Any] = {
    "patch_run": {"display_name": None},
    "create_run": {"project": "tests", "run": "run"},
    "replay": {},
    "post_pin": {"first_step": 10, "last_step": 20},
}


def status_and_body(caller: Caller, method: str, path: str, body: Any = None) -> tuple[int, str]:
    """Of an answer that may have no end: the stream's first bytes are not waited for."""
    http = urllib3.PoolManager(retries=False, timeout=30)
    answer = http.request(
        method,
        caller.server.url + path,
        headers=caller.headers,
        json=body,
        preload_content=False,
        redirect=False,
    )
    endless = "event-stream" in answer.headers.get("content-type", "")
    body = "" if endless else answer.read().decode(errors="replace")
    answer.close()
    http.clear()
    return answer.status, body


def expected(operation: str, who: str) -> str:
    need = NEEDS[operation]
    if need == ANYBODY:
        return PASSES
    if need == UNKNOWN:
        return UNKNOWN
    if who in ("none", "expired"):
        return "401"
    if who == "elsewhere":
        if operation in OF_ALL_PROJECTS:
            return REFUSED
        return PASSES if operation in FOR_ALL_PROJECTS else HIDDEN
    return PASSES if need in SCOPES[who] else REFUSED


def test_every_endpoint_is_in_the_table(operations: dict[str, Any]) -> None:
    assert set(operations) == set(NEEDS)


@pytest.mark.parametrize("who", ["none", "expired", "elsewhere", "write", "read", "admin"])
@pytest.mark.parametrize("operation", NEEDS)
def test_an_endpoint_lets_in_whom_the_table_says(
    guarded: Guarded, operations: dict[str, tuple[str, str]], operation: str, who: str
) -> None:
    method, path = operations[operation]
    caller = guarded.callers[who]
    target = concrete(path + QUERIES.get(operation, ""), guarded.filled)
    wanted = expected(operation, who)
    if operation == "delete_run" and wanted == PASSES:
        guarded.callers["admin"].report("tests", "doomed")
        doomed = guarded.callers["admin"].run_id("tests", "doomed")
        target = f"/api/v1/runs/{doomed}"
    if operation == "delete_pin" and wanted == PASSES:
        made = status_and_body(caller, "POST", target.rpartition("/")[0], BODIES["post_pin"])[1]
        target = f"{target.rpartition('/')[0]}/{json.loads(made)['id']}"
    status, body = status_and_body(caller, method, target, BODIES.get(operation))
    if wanted == PASSES:
        assert status not in (401, 403, 404), body
    elif wanted == REFUSED:
        assert status == 403, body
    elif wanted == HIDDEN:
        assert status == 404 or (status == 200 and "tests" not in body), body
        assert "non_finite" not in body.replace(CHOICE, "")
    else:
        assert status == int(wanted), body


def test_a_confined_token_gets_one_answer_for_what_exists_elsewhere_and_what_does_not(
    guarded: Guarded,
) -> None:
    elsewhere = guarded.callers["elsewhere"]
    there, _ = elsewhere.request("GET", f"/api/v1/runs/{guarded.filled.run}")
    nowhere, _ = elsewhere.request("GET", "/api/v1/runs/999999")
    assert there == nowhere == 404
    for project in ("tests", "no-such-project"):
        for listing in ("runs", "alerts"):
            answer = elsewhere.get(f"/api/v1/{listing}?project={project}")
            assert answer == {"items": [], "next_cursor": None}


def test_a_confined_token_sees_its_own_project(guarded: Guarded) -> None:
    elsewhere = guarded.callers["elsewhere"]
    elsewhere.report("elsewhere", "mine")
    seen = {(run["project"], run["run"]) for run in elsewhere.get("/api/v1/runs")["items"]}
    assert ("elsewhere", "mine") in seen
    assert {project for project, _ in seen} == {"elsewhere"}
    assert [p["project"] for p in elsewhere.get("/api/v1/projects")["items"]] == ["elsewhere"]


def test_a_confined_token_streams_only_its_own_project(guarded: Guarded) -> None:
    elsewhere = guarded.callers["elsewhere"]
    status, _ = elsewhere.request("GET", f"/api/v1/stream?run={guarded.filled.run}")
    assert status == 404


def test_a_confined_token_compares_only_its_own_project(guarded: Guarded) -> None:
    elsewhere = guarded.callers["elsewhere"]
    elsewhere.post_part(broken_part(0, project="elsewhere", run="compared"))
    mine = elsewhere.run_id("elsewhere", "compared")
    elsewhere.wait_until_judged(mine, 1)
    for query in ("compare?with={}", "compare?with={}&step=0", "profile?against={}"):
        for run in (guarded.filled.run, 999_999):
            status, problem = elsewhere.request("GET", f"/api/v1/runs/{mine}/{query.format(run)}")
            assert status == 404
            assert "tests" not in problem["detail"]


def test_an_unauthenticated_answer_says_how_to_authenticate(guarded: Guarded) -> None:
    answer = asked("GET", f"{guarded.server.url}/api/v1/runs")
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert "BIFURK_TOKEN" in answer.json()["detail"]
