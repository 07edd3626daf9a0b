"""The stack of docker-compose.yml, process by process: hook, snapshot, alert, receiver.

PostgreSQL, a server that takes in, a worker that measures, judges and tells, Prometheus with the
committed configuration and rules, Alertmanager with its own; only addresses and pace are replaced.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import torch
import yaml

import bifurk
from tests.deploy.alertmanager import Alertmanager
from tests.deploy.postgres import running_postgres
from tests.deploy.prometheus import Prometheus
from tests.deploy.tokens import bearer, create_token, said
from tests.deploy.worker import Worker
from tests.notify.receiver import Receiver
from tests.server import Server, wait_for

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
STEPS = 10
FAULT_STEP = 7
PUBLIC_URL = "https://bifurk.example.org"


@dataclass(frozen=True, kw_only=True)
class Stack:
    """What compose starts."""

    server: Server
    worker: Worker
    prometheus: Prometheus
    people: Receiver
    reader: str
    jobs_token: str
    read_token: str

    def get(self, path: str) -> Any:
        status, answer = self.server.request("GET", path, headers=bearer(self.read_token))
        assert status == 200, answer
        return answer

    def snapshots(self) -> dict[str, int]:
        """How many of the only run's snapshots are where."""
        [run] = self.get("/api/v1/runs?project=stack")["items"]
        return dict(self.get(f"/api/v1/runs/{run['id']}")["snapshots"])

    def told(self, **labels: str) -> list[dict[str, Any]]:
        """Alerts of these labels that reached people through Alertmanager."""
        return [
            alert
            for got in self.people.received
            for alert in got.json["alerts"]
            if labels.items() <= alert["labels"].items()
        ]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    data_dir = folder / "data"
    with ExitStack() as running:
        people = Receiver()
        running.callback(people.close)
        cluster = running.enter_context(running_postgres())
        alertmanager = Alertmanager(folder / "alertmanager", webhook=people.url)
        running.callback(alertmanager.stop)
        environment = _environment(folder, cluster.database("bifurk"), alertmanager.url)
        with psycopg.connect(cluster.address("bifurk"), autocommit=True) as owner:
            owner.execute("CREATE ROLE grafana LOGIN")
        _run_schema(environment)
        tokens = {
            scope: create_token(data_dir, scope, **environment) for scope in ("write", "read")
        }
        worker = Worker(data_dir, environment)
        running.callback(worker.stop)
        server = Server(data_dir, dict(environment))
        running.callback(server.stop)
        prometheus = Prometheus(
            folder / "prometheus",
            {
                "bifurk": urlsplit(server.url).netloc,
                "bifurk-worker": urlsplit(worker.url).netloc,
            },
            token=tokens["read"],
            alertmanager=urlsplit(alertmanager.url).netloc,
        )
        running.callback(prometheus.stop)
        yield Stack(
            server=server,
            worker=worker,
            prometheus=prometheus,
            people=people,
            reader=cluster.address("bifurk", user="grafana"),
            jobs_token=tokens["write"],
            read_token=tokens["read"],
        )


def _environment(folder: Path, database_url: str, alertmanager: str) -> dict[str, str]:
    """That of the compose file, its paths and addresses replaced."""
    written = COMPOSE["services"]["worker"]["environment"]
    assert written == COMPOSE["services"]["bifurk"]["environment"]
    # What has no value there is passed through where it is set.
    given = {name: value for name, value in written.items() if value is not None}
    secret = folder / "database-url"
    secret.write_text(f"{database_url}\n")
    channels = yaml.safe_load((ROOT / "deploy/alertmanager/alerts.yaml").read_text())
    channels["channels"]["alertmanager"]["url"] = alertmanager
    alerts = folder / "alerts.yaml"
    alerts.write_text(yaml.safe_dump(channels))
    return {
        **given,
        "BIFURK_DATA_DIR": str(folder / "data"),
        "BIFURK_DATABASE_URL_FILE": str(secret),
        "BIFURK_ALERTS_FILE": str(alerts),
        "BIFURK_NOTIFY_ALLOWED_HOSTS": json.dumps(["127.0.0.1"]),
        "BIFURK_PUBLIC_URL": PUBLIC_URL,
    }


def _run_schema(environment: dict[str, str]) -> None:
    """The commands of the service that ends before the others begin."""
    [commands] = COMPOSE["services"]["schema"]["command"]
    for command in commands.split("; "):
        said(environment, *command.split()[1:])


def train(stack: Stack, folder: Path) -> None:
    """A small training whose weights break in one step, watched by the hook."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.ReLU(), torch.nn.Linear(64, 4))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    with bifurk.watch(
        model,
        optimizer,
        url=stack.server.url,
        token=stack.jobs_token,
        project="stack",
        run="broken",
        every=1,
        overhead_budget=None,
        spool_dir=folder / "spool",
    ) as monitor:
        for step in range(1, STEPS + 1):
            loss = model(torch.randn(16, 32)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step == FAULT_STEP:
                with torch.no_grad():
                    model[0].weight[3, 5] = torch.nan
            monitor.log(loss=loss)
            assert monitor.flush(deadline_seconds=30)


def test_what_breaks_in_a_training_reaches_people_and_every_dashboard_s_source(
    stack: Stack, tmp_path: Path
) -> None:
    train(stack, tmp_path)

    broken = {"kind": "non_finite", "project": "stack", "run": "broken"}
    message = wait_for(lambda: stack.told(**broken), "the message to people")[0]
    [alert] = stack.get("/api/v1/alerts?project=stack&kind=non_finite")["items"]
    assert message["status"] == "firing"
    assert message["labels"]["severity"] == "critical"
    assert message["annotations"]["summary"] == alert["sentence"]
    assert message["generatorURL"].startswith(PUBLIC_URL)
    assert message["generatorURL"].endswith(f"/alerts/{alert['id']}")
    assert alert["onset_last_step"] <= FAULT_STEP + 1

    with psycopg.connect(stack.reader, autocommit=True) as grafana:
        stored = grafana.execute("SELECT id, sentence FROM bifurk_v1_alerts").fetchall()
        last = "SELECT max(step) FROM bifurk_v1_series"
        wait_for(lambda: grafana.execute(last).fetchone() == (STEPS,), "the last step")
    assert stored == [(alert["id"], alert["sentence"])]

    firing = 'bifurk_alerts_firing{run="broken", kind="non_finite", severity="critical"}'
    wait_for(lambda: list(stack.prometheus.query(firing).values()) == [1.0], "it in Prometheus")
    judged = 'sum(bifurk_snapshots_total{outcome="judged"})'
    whole = float(stack.snapshots()["total"])
    wait_for(
        lambda: list(stack.prometheus.query(judged).values()) == [whole], "the worker's counts"
    )
    wait_for(lambda: set(stack.prometheus.query("up").values()) == {1.0}, "all of them up")


def test_a_worker_that_is_gone_is_about_to_be_told(stack: Stack) -> None:
    """The rule holds it for two minutes before it tells; here it is seen to begin."""
    wait_for(lambda: stack.prometheus.query("up"), "the first scrape")
    stack.worker.stop()
    pending = 'ALERTS{alertname="BifurkDown", job="bifurk-worker", alertstate="pending"}'
    wait_for(lambda: stack.prometheus.query(pending), "the rule")
    assert stack.server.request("GET", "/readyz")[0] == 200, "what is sent is still taken in"
