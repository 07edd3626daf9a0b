"""Alerts over REST: told in full, filtered, moved through their life."""

from __future__ import annotations

import pytest

from tests.api.filling import BROKEN_AT, Caller, Filled, alerting_run, broken_part


def test_an_alert_tells_what_where_and_since_when(anyone: Caller, filled: Filled) -> None:
    alert = anyone.get(f"/api/v1/alerts/{filled.alert}")
    biases = [part.name for part in broken_part(0).tensors if part.role == "bias"]
    assert alert["sentence"].startswith("run: ")
    assert all(name in alert["sentence"] for name in biases)
    assert "Last checkpoint before: step 30, ckpt/3.pt." in alert["sentence"]
    assert (alert["project"], alert["run"], alert["attempt"]) == ("tests", "run", "first")
    assert (alert["kind"], alert["severity"]) == ("non_finite", "critical")
    assert alert["detected_step"] == alert["onset_last_step"] == BROKEN_AT * 10
    assert alert["onset_first_step"] == (BROKEN_AT - 1) * 10
    assert alert["checkpoint"]["details"] == {"path": "ckpt/3.pt"}
    assert [tensor["name"] for tensor in alert["tensors"]] == biases
    assert alert["evidence"]["detector"] == "non_finite"


FILTERS = [
    ("kind=non_finite", True), ("kind=regime_shift", False),
    ("kind=regime_shift&kind=non_finite", True),
    ("severity=critical", True), ("severity=info", False),
    ("severity=info&severity=critical", True),
    ("state=firing", True), ("state=resolved", False),
    ("since=40", True), ("since=41", False),
    ("project=tests", True), ("project=other", False), ("project=nothing", False),
    ("project=tests&kind=non_finite&severity=critical&since=1", True),
]  # fmt: skip


@pytest.mark.parametrize(("query", "found"), FILTERS)
def test_alerts_are_found_by_what_they_are(
    anyone: Caller, filled: Filled, query: str, found: bool
) -> None:
    items = anyone.get(f"/api/v1/alerts?run={filled.run}&{query}")["items"]
    assert [alert["id"] for alert in items] == ([filled.alert] if found else [])


def test_an_alert_is_acknowledged_and_resolved_and_stays_so(anyone: Caller) -> None:
    run, alert = alerting_run(anyone, "alerts", "acknowledged")
    assert unresolved(anyone, run) == {"critical": 1}
    for verb, state in (("acknowledge", "acknowledged"), ("acknowledge", "acknowledged"),
                        ("resolve", "resolved"), ("resolve", "resolved")):  # fmt: skip
        status, answer = anyone.request("POST", f"/api/v1/alerts/{alert}/{verb}")
        assert (status, answer["state"]) == (200, state)
    assert unresolved(anyone, run) == {}
    status, answer = anyone.request("POST", f"/api/v1/alerts/{alert}/acknowledge")
    assert status == 409
    assert "stays so" in answer["detail"]
    assert anyone.get(f"/api/v1/alerts/{alert}")["state"] == "resolved"


def unresolved(anyone: Caller, run: int) -> dict[str, int]:
    counts: dict[str, int] = anyone.get(f"/api/v1/runs/{run}")["alerts"]
    return counts


def test_the_tables_of_statistics_and_detectors_are_served(anyone: Caller) -> None:
    statistics = {row["name"]: row for row in anyone.get("/api/v1/stats")["items"]}
    detectors = anyone.get("/api/v1/detectors")["items"]
    assert statistics["std"]["formula"] == "sqrt(mean((w - mean)^2))"
    assert all(set(row["statistics"]) <= set(statistics) for row in detectors)
    assert {"non_finite", "regime_shift"} <= {row["kind"] for row in detectors}
