"""What every client test starts from: a wall that lets through, and no settings from outside."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch

from bifurk import guard

FROM_OUTSIDE = ("BIFURK_", "SLURM_", "TORCHELASTIC_")


@pytest.fixture(autouse=True)
def wall_lets_through() -> Iterator[None]:
    """What production swallows explodes in tests; a test of the wall itself switches it off."""
    with guard.reraising():
        yield


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(FROM_OUTSIDE):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def production_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall as users have it: it swallows."""
    monkeypatch.setattr(guard, "reraise", False)
