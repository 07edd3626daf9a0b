"""The server that several files of pages show: who changes a run puts it back, or makes its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.pages.serving import Browser, Served, served_runs


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A run that breaks, one whose layers part, and one of another project."""
    with served_runs(tmp_path_factory.mktemp("pages")) as found:
        yield found


@pytest.fixture
def admin(served: Served) -> Browser:
    """Whoever may do everything there."""
    return served.browsers["admin"]


@pytest.fixture
def reader(served: Served) -> Browser:
    """Whoever may only read."""
    return served.browsers["read"]
