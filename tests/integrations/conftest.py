"""What every trainer trains in: a wall that lets through, and no settings from outside."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client.conftest import (  # noqa: F401 - fixtures of this folder too
    no_settings_from_outside,
    one_thread,
    production_wall,
    wall_lets_through,
)
from tests.pipeline.house import House


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """A server's insides, with a database of its own."""
    house = House(tmp_path)
    yield house
    house.pipeline.stop()
    house.database.close()


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Trainers write much; and nothing of theirs may ask a network."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_PROGRESS_BARS"):
        monkeypatch.setenv(name, "1")
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    yield
    logging.disable(before)
