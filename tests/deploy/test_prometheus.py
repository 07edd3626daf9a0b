"""A real training, a real server on PostgreSQL, a real Prometheus: every panel has data."""

from __future__ import annotations

import itertools
import math
import statistics
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import torch
from prometheus_client.parser import text_string_to_metric_families

import bifurk
from bifurk.wire import AttemptReport, LossReport, encode_attempt
from bifurk_service.store.engine import Database
from bifurk_service.store.views import grant_views
from tests.deploy.alertmanager import Alertmanager
from tests.deploy.boards import (
    SQL,
    Asked,
    each_label,
    each_promql,
    each_sql,
    filled_promql,
    filled_sql,
    label_values,
)
from tests.deploy.expressions import RECORDED
from tests.deploy.postgres import Postgres, running_postgres
from tests.deploy.prometheus import Prometheus, found, promtool
from tests.deploy.tokens import bearer, create_token
from tests.notify.receiver import Receiver
from tests.parts import make_part, put_part
from tests.server import DEADLINE_SECONDS, Server, wait_for

STEPS = 12
EVERY = 2
READER = "grafana"


@dataclass(frozen=True, kw_only=True)
class Watched:
    server: Server
    prometheus: Prometheus
    alertmanager: Alertmanager
    people: Receiver
    postgres: Postgres
    token: str

    def get(self, path: str) -> Any:
        status, answer = self.server.request("GET", path, headers=bearer(self.token))
        assert status == 200, answer
        return answer

    def report_losses(self, run: str, **dropped: int) -> None:
        report = AttemptReport(state="running", loss_report=LossReport(dropped=dropped))
        status, answer = self.server.request(
            "PUT",
            f"/api/v1/projects/tests/runs/{run}/attempts/first",
            body=encode_attempt(report),
            headers=bearer(self.token),
        )
        assert status == 200, answer

    def rows(self, sql: str) -> list[dict[str, object]]:
        """What a dashboard's data source is answered: the read-only role's rows."""
        address = self.postgres.address("bifurk", user=READER)
        with psycopg.connect(address, row_factory=psycopg.rows.dict_row) as connection:
            return connection.execute(sql.encode()).fetchall()


def train(
    monitor: bifurk.Monitor, model: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """A few steps; in the last one a bias becomes NaN, as a fault in a kernel would make it."""
    for step in range(1, STEPS + 1):
        loss = model(torch.randn(16, 64)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        if step == STEPS:
            with torch.no_grad():
                dict(model.named_parameters())["2.bias"][0] = torch.nan
        optimizer.step()
        monitor.log(loss=loss)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A run that is still open, with a fault in it, beside one whose client lost snapshots."""
    found("prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    people = Receiver()
    with running_postgres() as postgres:
        environment = {
            "BIFURK_DATABASE_URL": postgres.bifurk("bifurk"),
            "BIFURK_ALERTS_FILE": str(_alerts_file(folder, people)),
            "BIFURK_NOTIFY_PRIVATE_ADDRESSES": "true",
        }
        _let_in(postgres, environment["BIFURK_DATABASE_URL"])
        data_dir = folder / "server"
        admin = create_token(data_dir, "admin", **environment)
        reader = create_token(data_dir, "read", **environment)
        server = Server(data_dir, environment)
        alertmanager = Alertmanager(folder / "alertmanager", webhook=f"{people.url}/passed-on")
        prometheus = Prometheus(
            folder / "prometheus",
            {"bifurk": urlsplit(server.url).netloc},
            token=reader,
            alertmanager=urlsplit(alertmanager.url).netloc,
        )
        wait_for(lambda: prometheus.query("bifurk_build_info"), "the first scrape")
        watched = Watched(
            server=server,
            prometheus=prometheus,
            alertmanager=alertmanager,
            people=people,
            postgres=postgres,
            token=admin,
        )
        with _trained(watched, folder), _busy(watched):
            watched.report_losses("lossy", spool_full=3)
            yield watched
        for one in (prometheus, alertmanager, server):
            one.stop()
    people.close()


def _alerts_file(folder: Path, people: Receiver) -> Path:
    file = folder / "alerts.yaml"
    file.write_text(f"channels: {{people: {{type: webhook, url: '{people.url}/direct'}}}}")
    return file


def _let_in(postgres: Postgres, url: str) -> None:
    """As the stack does it: a role that may log in, and `bifurk db grant`."""
    with psycopg.connect(postgres.address("bifurk"), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {READER} LOGIN".encode())
    database = Database(url)
    grant_views(database, READER)
    database.close()


@contextmanager
def _trained(watched: Watched, folder: Path) -> Iterator[None]:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(64, 512), torch.nn.ReLU(), torch.nn.Linear(512, 8))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    with bifurk.watch(
        model,
        optimizer,
        url=watched.server.url,
        token=watched.token,
        project="tests",
        run="open",
        every=EVERY,
        spool_dir=folder / "spool",
    ) as monitor:
        train(monitor, model, optimizer)
        assert monitor.flush(deadline_seconds=DEADLINE_SECONDS)
        yield


@contextmanager
def _busy(watched: Watched) -> Iterator[None]:
    """Snapshots of another run and requests that are turned away go on: rates are of what moves."""
    over = threading.Event()

    def live() -> None:
        for sequence in itertools.count():
            part = make_part(sequence, full=False, run="busy")
            put_part(watched.server, part, **bearer(watched.token))
            watched.server.request("GET", "/api/v1/runs")
            if over.wait(1.0):
                return

    thread = threading.Thread(target=live)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_the_target_is_up(watched: Watched) -> None:
    # On a busy machine a scrape takes longer than the second it may: then the next one tells.
    wait_for(lambda: {*watched.prometheus.query('up{job="bifurk"}').values()} == {1.0}, "it")


@each_promql
def test_every_expression_of_every_board_has_data(watched: Watched, asked: Asked) -> None:
    expression = filled_promql(asked.text)

    def finite() -> bool:
        values = watched.prometheus.query(expression).values()
        return bool(values) and all(math.isfinite(value) for value in values)

    wait_for(finite, f"data of {asked.id}: {expression}")


@each_label
def test_every_variable_has_values(watched: Watched, asked: Asked) -> None:
    selector, label = label_values(asked)
    arguments = {"match[]": selector}
    assert wait_for(
        lambda: watched.prometheus.get(f"label/{label}/values", **arguments), f"values of {label}"
    )


@pytest.fixture(scope="module")
def chosen(watched: Watched) -> dict[str, list[str]]:
    """What the variables of one run hold: all that their own queries list."""
    run: dict[str, list[str]] = {"project": ["tests"], "run": ["open"], "statistic": ["std"]}
    [found] = watched.get("/api/v1/runs?project=tests&run=open")["items"]
    wait_for(lambda: watched.get(f"/api/v1/alerts?run={found['id']}")["items"], "the alert")
    for asked in SQL:
        name = asked.title.removeprefix("variable ")
        if name in ("role", "layer", "scalar"):
            run[name] = [str(*row.values()) for row in watched.rows(filled_sql(asked.text, run))]
    return run


@each_sql
def test_every_sql_text_of_every_board_has_data(
    watched: Watched, chosen: dict[str, list[str]], asked: Asked
) -> None:
    rows = watched.rows(filled_sql(asked.text, chosen))
    assert rows
    if set(rows[0]) == {"step", "name", "value"}:
        steps = [row["step"] for row in rows]
        assert steps == sorted(steps), "a Trend panel wants ascending steps"  # type: ignore[type-var]
        assert "alert: critical" in {row["name"] for row in rows}


def test_a_panel_over_steps_shows_what_rest_says(
    watched: Watched, chosen: dict[str, list[str]]
) -> None:
    [asked] = [one for one in SQL if one.title.startswith("$statistic by role")]
    drawn = watched.rows(filled_sql(asked.text, chosen))
    [run] = watched.get("/api/v1/runs?project=tests&run=open")["items"]
    series = watched.get(f"/api/v1/runs/{run['id']}/series?stat=std")["items"]
    values: dict[tuple[int, str], list[float]] = {}
    for one in series:
        for step, value in zip(one["steps"], one["values"], strict=True):
            values.setdefault((step, one["tensor"]["role"]), []).append(value)
    said = {at: statistics.median(several) for at, several in values.items()}
    shown = {(row["step"], row["name"]): row["value"] for row in drawn}
    assert {at: shown[at] for at in said} == pytest.approx(said)
    assert {name for _, name in shown.keys() - said.keys()} == {"alert: critical"}


def test_prometheus_holds_what_rest_says(watched: Watched) -> None:
    shown = 'bifurk_last_snapshot_step{run="open"}'
    wait_for(lambda: list(watched.prometheus.query(shown).values()) == [STEPS], "the last step")
    firing = "sum by (severity) (bifurk_alerts_firing{run='open'})"

    def by_severity() -> dict[str, float]:
        found = watched.prometheus.query(firing)
        return {dict(labels)["severity"]: count for labels, count in found.items() if count}

    def said() -> dict[str, float]:
        [run] = watched.get("/api/v1/runs?project=tests&run=open")["items"]
        return {severity: count for severity, count in run["alerts"].items() if count}

    wait_for(lambda: "critical" in said() and by_severity() == said(), "the alerts that REST has")


def test_every_rule_is_healthy(watched: Watched) -> None:
    def healths() -> set[str]:
        groups = watched.prometheus.get("rules")["groups"]
        return {rule["health"] for group in groups for rule in group["rules"]}

    wait_for(lambda: healths() == {"ok"}, "every rule evaluated without an error")


@pytest.mark.parametrize("record", sorted(RECORDED))
def test_every_recording_rule_has_data(watched: Watched, record: str) -> None:
    wait_for(lambda: watched.prometheus.query(record), record)


def test_a_counter_becomes_an_alert_that_reaches_people(watched: Watched) -> None:
    watched.report_losses("refused")
    counted = 'bifurk_client_dropped_total{run="refused", reason="rejected"}'
    wait_for(lambda: watched.prometheus.query(counted), "the counter at zero")
    watched.report_losses("refused", rejected_422=7)

    def told() -> list[dict[str, Any]]:
        return [
            alert
            for got in watched.people.received
            if got.path == "/passed-on"
            for alert in got.json["alerts"]
            if alert["labels"]["alertname"] == "BifurkIngestRefused"
        ]

    alert = wait_for(told, "the message")[0]
    assert alert["labels"]["run"] == "refused"
    assert alert["annotations"]["summary"] == "Snapshots of tests/refused are refused"
    assert alert["annotations"]["runbook_url"] == "docs/runbooks.md#bifurkingestrefused"


def test_promtool_finds_nothing_wrong_with_the_exposition(watched: Watched) -> None:
    text = str(watched.get("/metrics"))
    checked = promtool("check", "metrics", given=text)
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout
    assert list(text_string_to_metric_families(text))
