"""What can never work is refused when the server starts, and says what to do."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bifurk_service.app import create_app
from bifurk_service.errors import SetupError
from bifurk_service.pipeline.cluster import connection
from bifurk_service.pipeline.cluster.engine import ClusterWorkers
from bifurk_service.settings import Settings
from bifurk_service.stats.spectra.grouping import grouped, spectrum_seconds
from tests.parts import make_part, put_part
from tests.ports import own_port
from tests.server import Server, wait_for


@pytest.mark.parametrize(
    "address", ["127.0.0.1:8786", "http://host:8786", "tcp://host", "tcp://host:99999", "tcp://:1"]
)
def test_what_is_no_address_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(SetupError, match="expected tcp://HOST:PORT"):
        create_app(Settings(data_dir=tmp_path, dask_scheduler=address))


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(SetupError, match=r"pip install 'bifurk\[service,cluster\]'"):
        create_app(Settings(data_dir=tmp_path, dask_scheduler="tcp://127.0.0.1:8786"))


def test_tls_without_certificates_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="DASK_DISTRIBUTED__COMM__TLS__CA_FILE"):
        create_app(Settings(data_dir=tmp_path, dask_scheduler="tls://127.0.0.1:8786"))


def test_a_scheduler_that_is_not_there_keeps_nobody_from_sending(
    start_server: Callable[..., Server],
) -> None:
    server = start_server(BIFURK_DASK_SCHEDULER=f"tcp://127.0.0.1:{own_port()}")
    assert put_part(server, make_part(0))[0] == 201
    status, answer = server.request("GET", "/readyz")
    assert status == 200
    assert answer["trouble"] in {
        "the Dask scheduler was not reached yet",
        "the Dask scheduler is away",
    }
    assert "bifurk_jobs_limit 0.0" in server.get("/metrics")
    assert server.get("/api/v1/runs/1")["snapshots"]["received"] == 1


def test_a_stranger_at_its_port_is_no_scheduler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 0.5)
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        engine = ClusterWorkers(f"tcp://127.0.0.1:{stranger.getsockname()[1]}")
        assert engine.count == 0
        wait_for(lambda: engine.trouble == connection.AWAY, "the end of patience")
        engine.close()


def test_ten_thousand_small_tensors_are_few_tasks_and_large_ones_stay_alone() -> None:
    shapes = {f"small.{i}": (16, 64) for i in range(10_000)} | {
        "a": (4096, 4096),
        "b": (4096, 4096),
    }
    seconds = {name: spectrum_seconds(shape) for name, shape in shapes.items()}
    groups = grouped(shapes, seconds, most_seconds=0.5)
    assert len(groups) < 100
    assert [name for group in groups for name in group] == list(shapes)
    assert groups[-1] == ("b",)
