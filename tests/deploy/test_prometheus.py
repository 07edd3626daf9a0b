"""A real training, a real server, a real Prometheus: every panel of the dashboard has data."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch
from prometheus_client.parser import text_string_to_metric_families

import bifurk
from bifurk.wire import AttemptReport, LossReport, encode_attempt
from tests.deploy.board import VARIABLES, each_query, filled, label_values
from tests.deploy.prometheus import Prometheus, found, promtool
from tests.deploy.tokens import bearer, create_token
from tests.server import Server, wait_for

STEPS = 12
EVERY = 2


@dataclass(frozen=True)
class Watched:
    server: Server
    prometheus: Prometheus
    token: str

    def get(self, path: str) -> object:
        status, answer = self.server.request("GET", path, headers=bearer(self.token))
        assert status == 200, answer
        return answer


def train(
    monitor: bifurk.Monitor, model: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """A few steps; in the last one a gain becomes NaN, as a fault in a kernel would make it."""
    for step in range(1, STEPS + 1):
        loss = model(torch.randn(16, 64)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        if step == STEPS:
            with torch.no_grad():
                next(iter(model.parameters()))[0, 0] = torch.nan
        optimizer.step()
        monitor.log(loss=loss)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A run that is still open, with a fault in it, beside one whose client lost snapshots."""
    folder = tmp_path_factory.mktemp("prometheus")
    found("prometheus")
    data_dir = folder / "server"
    admin, reader = create_token(data_dir, "admin"), create_token(data_dir, "read")
    server = Server(data_dir)
    prometheus = Prometheus(folder / "prometheus", server, token=reader)
    wait_for(lambda: prometheus.query("bifurk_build_info"), "the first scrape")
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(64, 512), torch.nn.ReLU(), torch.nn.Linear(512, 8))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    with bifurk.watch(
        model,
        optimizer,
        url=server.url,
        token=admin,
        project="tests",
        run="open",
        every=EVERY,
        spool_dir=folder / "spool",
    ) as monitor:
        train(monitor, model, optimizer)
        assert monitor.flush(deadline_seconds=30)
        _report_losses(server, admin)
        yield Watched(server, prometheus, admin)
    prometheus.stop()
    server.stop()


def _report_losses(server: Server, token: str) -> None:
    report = AttemptReport(state="running", loss_report=LossReport(dropped={"spool_full": 3}))
    status, answer = server.request(
        "PUT",
        "/api/v1/projects/tests/runs/lossy/attempts/first",
        body=encode_attempt(report),
        headers=bearer(token),
    )
    assert status == 200, answer


def test_the_target_is_up(watched: Watched) -> None:
    assert set(watched.prometheus.query('up{job="bifurk"}').values()) == {1.0}


@each_query
def test_every_query_of_every_panel_has_data(watched: Watched, title: str, expression: str) -> None:
    def finite() -> bool:
        values = watched.prometheus.query(filled(expression)).values()
        return bool(values) and all(math.isfinite(value) for value in values)

    wait_for(finite, f"data of {title!r}: {filled(expression)}")


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda variable: str(variable["name"]))
def test_every_variable_has_values(watched: Watched, variable: dict[str, str]) -> None:
    selector, label = label_values(variable)
    arguments = {"match[]": selector}
    assert wait_for(
        lambda: watched.prometheus.get(f"label/{label}/values", **arguments), f"values of {label}"
    )


def test_prometheus_holds_what_rest_says(watched: Watched) -> None:
    answer = watched.get("/api/v1/runs?project=tests&run=open")
    [run] = answer["items"]  # type: ignore[index]
    shown = 'bifurk_last_snapshot_step{run="open"}'
    wait_for(lambda: list(watched.prometheus.query(shown).values()) == [STEPS], "the last step")
    firing = "sum by (severity) (bifurk_alerts_firing{run='open'})"
    by_severity = {dict(key)["severity"]: n for key, n in watched.prometheus.query(firing).items()}
    assert {severity: n for severity, n in by_severity.items() if n} == {
        severity: n for severity, n in run["alerts"].items() if n
    }
    assert by_severity["critical"] >= 1


def test_promtool_finds_nothing_wrong_with_the_exposition(watched: Watched) -> None:
    text = str(watched.get("/metrics"))
    checked = promtool("check", "metrics", given=text)
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout
    assert list(text_string_to_metric_families(text))
