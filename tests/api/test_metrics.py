"""`/metrics`: what REST says, bounded, and gone or kept as promised. Read by a real parser."""

from __future__ import annotations

import http.client
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

import bifurk
from bifurk.layout import ROLES
from bifurk.wire import AttemptReport, LossReport, encode_attempt
from bifurk_service.domain import AlertState, AttemptState, Severity
from bifurk_service.errors import REASONS
from bifurk_service.metrics import METRICS
from bifurk_service.metrics.table import DROP_REASONS, EXPORTED
from bifurk_service.request_log import METHODS
from bifurk_service.store.engine import Database
from bifurk_service.store.tokens import create_token
from tests.asking import asked
from tests.parts import make_part, make_tensor, put_part, weights_at
from tests.server import Server, wait_for

SNAPSHOTS = 3
LAYERS = 3
VOCABULARY = {
    "version": {bifurk.__version__},
    "outcome": {"measured", "judged", "late", "failed", "stored", "repeated"},
    "role": set(ROLES),
    "over": {"median", "max"},
    "reason": {*DROP_REASONS, *REASONS},
    "method": METHODS,
    "state": {*map(str, AttemptState), "received", "measured"},
    "severity": {str(severity) for severity in Severity},
}
"""Every value that a label other than names of runs, kinds and buckets may have."""


def samples(server: Server) -> list[Sample]:
    """All samples of one scrape."""
    families = text_string_to_metric_families(server.get("/metrics"))
    return [sample for family in families for sample in family.samples]


def values(server: Server, name: str, **labels: str) -> dict[tuple[tuple[str, str], ...], float]:
    """A metric's samples that have these labels: their other labels to value."""
    return {
        tuple(sorted((k, v) for k, v in sample.labels.items() if k not in labels)): sample.value
        for sample in samples(server)
        if sample.name == name and labels.items() <= sample.labels.items()
    }


def send(server: Server, run: str, *, sequence: int, broken: bool = False, **manifest: Any) -> None:
    """One snapshot of a model of a few layers; broken: with a NaN in it."""
    part = make_part(sequence, run=run, **manifest)
    tensors = []
    for layer in range(LAYERS):
        for name, weights in weights_at(sequence, seed=layer).items():
            if broken:
                weights.flat[0] = float("nan")
            tensor = make_tensor(name.replace(".0.", f".{layer}."), (1 + layer) * weights)
            tensors.append(replace(tensor, layer=layer))
    status, answer = put_part(server, replace(part, tensors=tuple(tensors)))
    assert status == 201, answer


def report(server: Server, run: str, **fields: Any) -> None:
    """What the client of a run says of its attempt."""
    path = f"/api/v1/projects/tests/runs/{run}/attempts/first"
    body = encode_attempt(AttemptReport(**{"state": "running", **fields}))
    status, answer = server.request("PUT", path, body=body)
    assert status == 200, answer


def judged(server: Server, run: str, snapshots: int) -> dict[str, Any]:
    """The run, once so many snapshots are judged."""
    [found] = server.get(f"/api/v1/runs?run={run}")["items"]
    return server.wait_until_judged(found["id"], snapshots)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """A server that was told of one run, by a client that lost some snapshots."""
    server = Server(tmp_path_factory.mktemp("metrics") / "server")
    fresh = samples(server)
    losses = LossReport(
        dropped={"busy": 2, "rejected_413": 1, "rejected_422": 1, 'a "new"\nreason 400': 5},
        overhead_ratio=0.004,
    )
    for sequence in range(SNAPSHOTS):
        send(server, "run", sequence=sequence, loss_report=losses, display_name="Free text")
    yield server, judged(server, "run", SNAPSHOTS), fresh
    server.stop()


def test_a_new_server_shows_its_counters_at_zero(told) -> None:  # type: ignore[no-untyped-def]
    _, _, fresh = told
    counted = {
        (sample.name, *sample.labels.values()): sample.value
        for sample in fresh
        if sample.name.endswith(("_total", "_count")) and "_request" not in sample.name
    }
    assert counted == dict.fromkeys(counted, 0)
    for outcome in ("measured", "judged", "late", "failed"):
        assert ("bifurk_snapshots_total", outcome) in counted
    assert ("bifurk_parts_total", "stored") in counted


def test_every_metric_of_the_table_is_exposed_and_no_other(told) -> None:  # type: ignore[no-untyped-def]
    server, _, _ = told
    families = list(text_string_to_metric_families(server.get("/metrics")))
    exposed = {
        f"{family.name}_total" if family.type == "counter" else family.name: family
        for family in families
    }
    assert {name: family.type for name, family in exposed.items()} == {
        row.name: row.kind for row in METRICS
    }
    for row in METRICS:
        for sample in exposed[row.name].samples:
            assert set(sample.labels) - {"le"} == set(row.labels), row.name


def test_statistics_are_median_and_max_of_what_rest_says(told) -> None:  # type: ignore[no-untyped-def]
    server, run, _ = told
    for statistic in EXPORTED:
        path = f"/api/v1/runs/{run['id']}/series?stat={statistic.name}"
        newest: dict[str, list[float]] = {}
        for series in server.get(path)["items"]:
            if series["values"] and series["values"][-1] is not None:
                newest.setdefault(series["tensor"]["role"], []).append(series["values"][-1])
        shown = values(server, f"bifurk_{statistic.metric}", project="tests", run="run")
        expected = {}
        for role, numbers in newest.items():
            assert len(numbers) >= LAYERS
            expected[(("over", "median"), ("role", role))] = median(numbers)
            expected[(("over", "max"), ("role", role))] = max(numbers)
        assert shown == pytest.approx(expected)
        assert shown


def test_the_run_is_as_rest_says(told) -> None:  # type: ignore[no-untyped-def]
    server, run, _ = told
    [snapshot] = server.get(f"/api/v1/runs/{run['id']}/snapshots")["items"][-1:]
    [step] = values(server, "bifurk_last_snapshot_step", run="run").values()
    assert step == run["last_step"]
    [received] = values(server, "bifurk_last_snapshot_timestamp_seconds", run="run").values()
    assert received == pytest.approx(snapshot["received_at"], abs=1e-3)
    [overhead] = values(server, "bifurk_client_overhead_ratio", run="run").values()
    assert overhead == run["overhead_ratio"] == 0.004
    states = values(server, "bifurk_run_state", project="tests", run="run")
    assert states == {(("state", str(s)),): float(s == run["state"]) for s in AttemptState}


def test_the_service_counts_what_it_judged(told) -> None:  # type: ignore[no-untyped-def]
    server, _, _ = told
    runs = [server.get(f"/api/v1/runs/{run['id']}") for run in server.get("/api/v1/runs")["items"]]
    judged = sum(run["snapshots"]["judged"] for run in runs)

    def counted() -> float:
        [moved] = values(server, "bifurk_snapshots_total", outcome="judged").values()
        return moved

    wait_for(lambda: counted() == judged, "the count of what is judged")


def test_who_listens_is_counted_until_he_goes(told) -> None:  # type: ignore[no-untyped-def]
    server, _, _ = told
    assert gauge(server, "bifurk_stream_listeners") == 0
    stream = asked("GET", f"{server.url}/api/v1/stream", preload_content=False)
    wait_for(lambda: gauge(server, "bifurk_stream_listeners") == 1, "the listener")
    stream.close()
    wait_for(lambda: gauge(server, "bifurk_stream_listeners") == 0, "the listener's end")


def test_a_part_is_in_flight_from_its_first_byte(told) -> None:  # type: ignore[no-untyped-def]
    server, _, _ = told
    limit = gauge(server, "bifurk_parts_in_flight_limit")
    assert limit == 8
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=30)
    path = "/api/v1/projects/tests/runs/slow/attempts/first/snapshots/1/parts/0"
    connection.putrequest("PUT", path)
    connection.putheader("Content-Length", "100")
    connection.endheaders(b"the beginning of it")
    wait_for(lambda: gauge(server, "bifurk_parts_in_flight") == 1, "the part on its way")
    connection.close()
    wait_for(lambda: gauge(server, "bifurk_parts_in_flight") == 0, "its end")


def test_nothing_waits_once_all_is_judged(told) -> None:  # type: ignore[no-untyped-def]
    server, _, _ = told
    wait_for(lambda: gauge(server, "bifurk_queue_snapshots") == 0, "the end of the queue")
    for name in ("bifurk_waiting_snapshots", "bifurk_waiting_age_seconds"):
        assert values(server, name) == {(("state", s),): 0 for s in ("measured", "received")}
    wait_for(lambda: gauge(server, "bifurk_jobs_running") == 0, "the end of the jobs")
    assert gauge(server, "bifurk_jobs_limit") >= 2
    used, most = (gauge(server, f"bifurk_database_connections{end}") for end in ("", "_limit"))
    assert 0 <= used < most


def gauge(server: Server, name: str) -> float:
    """The value of a metric without labels."""
    [value] = values(server, name).values()
    return value


def test_drops_are_counted_by_known_reasons(told) -> None:  # type: ignore[no-untyped-def]
    server, run, _ = told
    shown = {
        dict(key)["reason"]: count
        for key, count in values(server, "bifurk_client_dropped_total", run="run").items()
    }
    assert set(shown) == set(DROP_REASONS)
    dropped = {reason: count for reason, count in shown.items() if count}
    assert dropped == {"busy": 2, "rejected": 2, "other": 5}
    assert sum(dropped.values()) == sum(run["attempts"][0]["dropped"].values())


def test_every_reason_of_the_client_is_known() -> None:
    client = Path(bifurk.__file__).parent
    sources = "\n".join(path.read_text() for path in client.glob("*.py"))
    reasons = set(re.findall(r'\bdrop\([^)]*?"(\w+)"', sources))
    assert {"busy", "spool_full"} <= reasons
    assert reasons <= set(DROP_REASONS)


def test_labels_hold_neither_steps_nor_free_text(told) -> None:  # type: ignore[no-untyped-def]
    server, _, _ = told
    for sample in samples(server):
        for label, value in sample.labels.items():
            allowed = VOCABULARY.get(label)
            if sample.name == "bifurk_storage_bytes":
                allowed = {"blobs", "database"}
            assert allowed is None or value in allowed, sample
            assert label in {*VOCABULARY, "project", "run", "kind", "le", "route", "status"}, sample


def test_roles_of_a_newer_client_are_shown_as_other(told) -> None:  # type: ignore[no-untyped-def]
    server, _, _ = told
    part = make_part(0, run="strange")
    strange = tuple(replace(tensor, role="a role of 2030") for tensor in part.tensors)
    assert put_part(server, replace(part, tensors=strange))[0] == 201
    judged(server, "strange", 1)
    shown = values(server, "bifurk_weight_std", run="strange")
    assert {dict(key)["role"] for key in shown} == {"other"}


def statistic_series(server: Server, run: str) -> int:
    names = {f"bifurk_{statistic.metric}" for statistic in EXPORTED}
    return sum(s.name in names and s.labels["run"] == run for s in samples(server))


def test_the_limits_cut_the_oldest_runs_and_say_how_much(
    start_server: Callable[..., Server],
) -> None:
    server = start_server(BIFURK_METRICS_SERIES_PER_RUN="8", BIFURK_METRICS_SERIES="10")
    for run in ("older", "newer"):
        send(server, run, sequence=0)
        judged(server, run, 1)
    assert (statistic_series(server, "older"), statistic_series(server, "newer")) == (2, 8)
    [cut] = values(server, "bifurk_series_cut").values()
    [all_of_one] = {len(whole(server, run)) for run in ("older", "newer")}
    assert cut == 2 * all_of_one - 10


def whole(server: Server, run: str) -> list[tuple[str, str, str]]:
    """The series that a run would show without limits."""
    [found] = server.get(f"/api/v1/runs?run={run}")["items"]
    shown = set()
    for statistic in EXPORTED:
        path = f"/api/v1/runs/{found['id']}/series?stat={statistic.name}"
        for series in server.get(path)["items"]:
            if series["values"][-1] is not None:
                shown |= {(statistic.name, series["tensor"]["role"], o) for o in ("median", "max")}
    return sorted(shown)


def test_a_firing_alert_outlives_the_series_of_its_run(
    start_server: Callable[..., Server],
) -> None:
    server = start_server(BIFURK_METRICS_GRACE_SECONDS="0")
    for sequence in range(2):
        send(server, "run", sequence=sequence, broken=sequence == 1)
    run = judged(server, "run", 2)
    alerts = server.get(f"/api/v1/alerts?run={run['id']}")["items"]
    key = (("kind", "non_finite"), ("severity", "critical"))
    raised = sum(alert["kind"] == "non_finite" for alert in alerts)
    assert raised >= 1
    assert values(server, "bifurk_alerts_firing", project="tests", run="run")[key] == raised
    assert values(server, "bifurk_alerts_total", project="tests", run="run")[key] == raised

    report(server, "run", state="finished")
    wait_for(lambda: not values(server, "bifurk_run_state"), "the end of the run's series")
    assert statistic_series(server, "run") == 0
    assert not values(server, "bifurk_alerts_total")
    assert values(server, "bifurk_alerts_firing", project="tests", run="run")[key] == raised

    for alert in alerts:
        assert server.request("POST", f"/api/v1/alerts/{alert['id']}/acknowledge")[0] == 200
    assert values(server, "bifurk_alerts_firing", project="tests", run="run")[key] == raised
    for alert in alerts:
        _, answer = server.request("POST", f"/api/v1/alerts/{alert['id']}/resolve")
        assert answer["state"] == AlertState.RESOLVED
    assert not values(server, "bifurk_alerts_firing")


def test_an_ended_run_stays_for_the_grace(told) -> None:  # type: ignore[no-untyped-def]
    server, _, _ = told
    send(server, "ended", sequence=0)
    judged(server, "ended", 1)
    report(server, "ended", state="finished")
    assert values(server, "bifurk_run_state", run="ended", state="finished") == {
        (("project", "tests"),): 1
    }
    assert statistic_series(server, "ended") > 0


def token(server: Server, scope: str, *, project: str | None = None) -> dict[str, str]:
    """The header that presents a token made beside the server."""
    database = Database(f"sqlite:///{server.data_dir / 'bifurk.db'}")
    with database.write() as session:
        made = create_token(
            session, name=scope, scope=scope, project=project, expires_at=None, now=time.time()
        )
    database.close()
    return {"Authorization": f"Bearer {made}"}


def test_metrics_need_a_token_that_reads_all_projects(server: Server) -> None:
    send(server, "run", sequence=0)
    reader, writer = token(server, "read"), token(server, "write")
    confined = token(server, "read", project="tests")
    assert server.request("GET", "/metrics")[0] == 401
    assert server.request("GET", "/metrics", headers=reader)[0] == 200
    assert server.request("GET", "/metrics", headers=writer)[0] == 403
    assert server.request("GET", "/api/v1/runs", headers=confined)[0] == 200
    assert server.request("GET", "/metrics", headers=confined)[0] == 403
