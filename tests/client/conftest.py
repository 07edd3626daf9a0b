"""What every client test starts from: a wall that lets through, and no settings from outside."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


@pytest.fixture
def mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """MLflow with a folder for a server."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow  # here, because it takes seconds and few tests want it

    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"file://{tmp_path / 'mlruns'}")
    yield mlflow
    mlflow.end_run()
    mlflow.set_tracking_uri(before)
