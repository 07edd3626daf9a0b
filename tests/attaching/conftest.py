"""A folder to start commands in, for every test of ``bifurk run``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.attaching.launcher import Launcher


@pytest.fixture
def launcher(tmp_path: Path) -> Launcher:
    return Launcher(tmp_path)
