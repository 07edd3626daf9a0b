"""What every trainer trains in: a wall that lets through, and no settings from outside."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.client.conftest import (  # noqa: F401 - fixtures of this folder too
    no_settings_from_outside,
    one_thread,
    production_wall,
    wall_lets_through,
)
from tests.pipeline.conftest import house  # noqa: F401


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Trainers write much; and nothing of theirs may ask a network."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_PROGRESS_BARS"):
        monkeypatch.setenv(name, "1")
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    yield
    logging.disable(before)
