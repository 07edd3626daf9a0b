"""A folder to start commands in, for every test of ``bifurk run``."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attaching.launcher import Launcher


@pytest.fixture(autouse=True, scope="module")
def _thawed() -> Iterator[None]:
    """Modules are looked for among what the garbage collector knows, and the suite hides much."""
    gc.unfreeze()
    yield
    gc.freeze()


@pytest.fixture
def launcher(tmp_path: Path) -> Launcher:
    return Launcher(tmp_path)
