"""What every area's tests share: a real server, started as a user starts it."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
from xdist.remote import Producer

from tests.drawn import MANY
from tests.server import Server
from tests.workers import ByUnit, longest_first

if TYPE_CHECKING:
    from tests.deploy.postgres import Postgres

gc.disable()
"""While modules are imported and tests collected: millions of objects that all stay."""

hypothesis.settings.register_profile(
    "suite",
    deadline=None,
    derandomize=not MANY,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("suite")
"""A busy machine is no defect, nor is what was drawn by chance one of the change that meets it:
the suite draws the same every time, ``make fuzz`` something else each time."""


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """What is there now stays; the collections that tests ask for look at what came since."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what needs a CUDA device where there is none: no package brings one."""
    on_device = [item for item in items if item.get_closest_marker("cuda")]
    if on_device and not _has_cuda():
        config.hook.pytest_deselected(items=on_device)
        items[:] = [item for item in items if item not in on_device]
    longest_first(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByUnit:
    """Gives every worker whole units."""
    config.option.loadscopereorder = False
    return ByUnit(config, log)


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts `bifurk serve` on a free loopback port; every server is stopped at the end."""
    servers: list[Server] = []

    def start(data_dir: Path | None = None, **environment: str) -> Server:
        server = Server(data_dir or tmp_path / "server", environment)
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def server(start_server: Callable[..., Server]) -> Server:
    """One running server with an empty database."""
    return start_server()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Postgres]:
    """One PostgreSQL for all tests of a worker, each in a database of its own."""
    from tests.deploy.postgres import running_postgres

    with running_postgres() as cluster:
        yield cluster
