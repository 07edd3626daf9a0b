"""One PostgreSQL for these tests, a database each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bifurk_service.store.engine import Database
from tests.deploy.postgres import Postgres, running_postgres


@pytest.fixture(scope="session")
def own() -> Iterator[Postgres]:
    """One that is stopped and started: the others' goes on."""
    with running_postgres() as cluster:
        yield cluster


@pytest.fixture
def url(cluster: Postgres, request: pytest.FixtureRequest) -> str:
    """Of a database of the test's own, with bifurk's schema."""
    return cluster.bifurk(request.node.name[:60])


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    database = Database(url)
    yield database
    database.close()
