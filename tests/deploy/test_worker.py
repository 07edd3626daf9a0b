"""A server that only takes in and a worker that does the rest, over one PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from bifurk_service.errors import SetupError
from bifurk_service.server import serve, work
from bifurk_service.settings import Settings
from tests.api.filling import Caller, broken_part
from tests.deploy.postgres import Postgres
from tests.deploy.worker import Worker
from tests.server import Server, wait_for

SNAPSHOTS = 3


@pytest.fixture
def environment(cluster: Postgres, tmp_path: Path) -> dict[str, str]:
    """Of processes that share a database; its URL is in a file, as a secret is."""
    file = tmp_path / "database-url"
    file.write_text(f"{cluster.bifurk(tmp_path.name)}\n")
    return {"BIFURK_DATABASE_URL_FILE": str(file), "BIFURK_PIPELINE": "false"}


def refused(start: Callable[..., None], **settings: object) -> str:
    """Why a process of these settings does not start."""
    with pytest.raises(SetupError) as ended:
        start(Settings.given({"port": 0, **settings}), on_ready=pytest.fail)
    return ended.value.detail


def test_what_the_server_takes_in_a_worker_measures_and_judges(
    start_server: Callable[..., Server], environment: dict[str, str], tmp_path: Path
) -> None:
    server = start_server(tmp_path / "data", **environment)
    caller = Caller(server)
    for sequence in range(SNAPSHOTS):
        caller.post_part(broken_part(sequence))
    run = caller.run_id("tests", "run")
    assert server.request("GET", "/readyz")[0] == 200
    assert caller.get(f"/api/v1/runs/{run}")["snapshots"]["received"] == SNAPSHOTS

    worker = Worker(tmp_path / "data", environment)
    caller.wait_until_judged(run, SNAPSHOTS)
    assert caller.get(f"/api/v1/runs/{run}/series?stat=std")["items"][0]["values"]
    assert worker.request("/readyz")[0] == 200
    judged = f'bifurk_snapshots_total{{outcome="judged"}} {SNAPSHOTS}.0'
    wait_for(lambda: judged in worker.request("/metrics")[1], "the count of what is judged")
    counts = worker.request("/metrics")[1]
    assert "bifurk_queue_snapshots" not in counts, "the stored state is told once, by the server"
    assert 'bifurk_snapshots_total{outcome="judged"} 0.0' in caller.get("/metrics")
    assert worker.request("/api/v1/runs")[0] == 404, "it takes in nothing and answers nothing"
    worker.stop()


def test_sqlite_is_of_one_process(tmp_path: Path) -> None:
    assert "SQLite is of one process" in refused(work, data_dir=tmp_path)
    assert "SQLite is of one process" in refused(serve, data_dir=tmp_path, pipeline=False)


def test_a_database_url_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "not-there"
    with pytest.raises(ValidationError, match=f"{missing} cannot be read: No such file"):
        Settings.given({"database_url_file": missing})
