"""What every fault test starts from: one real server, and nothing set from outside."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from bifurk import encoder, guard, sender
from tests.server import Server, wait_for

THREAD_NAMES = (encoder.THREAD_NAME, sender.THREAD_NAME)
FROM_OUTSIDE = ("BIFURK_", "SLURM_", "TORCHELASTIC_")


@pytest.fixture(scope="package")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all tests that need a sound one; each uses a run of its own name."""
    server = Server(tmp_path_factory.mktemp("faults") / "server")
    yield server
    server.stop()


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


@pytest.fixture(autouse=True)
def wall_lets_through() -> Iterator[None]:
    """No fault of the world may even reach the wall; tests of broken internals switch this off."""
    with guard.reraising():
        yield


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    """A closed monitor has ended its threads, whatever has happened to it."""
    yield
    wait_for(lambda: not ours(), "the end of bifurk's threads")


def ours() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name in THREAD_NAMES]


@pytest.fixture
def production_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall as users have it: it swallows."""
    monkeypatch.setattr(guard, "reraise", False)


@pytest.fixture
def spool_dir(tmp_path: Path) -> Path:
    """Where the client keeps what waits; removed with the test."""
    return tmp_path / "spool"
