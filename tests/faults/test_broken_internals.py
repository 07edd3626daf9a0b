"""Every method of the watching made to raise: the training goes on, and it is told once."""

from __future__ import annotations

from collections import Counter
from inspect import isfunction
from pathlib import Path
from typing import Any

import pytest

from bifurk.cadence import Cadence, FullRotation
from bifurk.capture import Capture, Snapshot
from bifurk.delivery import OutboxDelivery
from bifurk.encoder import Encoder
from bifurk.losses import LossLedger
from bifurk.marks import MarkLog
from bifurk.monitor import Monitor
from bifurk.outbox import MemoryOutbox
from bifurk.overhead import Overhead
from bifurk.recorder import Recorder
from bifurk.scalars import ScalarLog
from bifurk.session import Session
from bifurk.spool import Spool
from bifurk.staging import Stage
from bifurk.testing import InMemoryTransport
from bifurk.transport import Urllib3Transport
from bifurk.waiting import WaitingLine
from tests.faults.conftest import ours
from tests.faults.training import STEPS, Training, unwatched
from tests.server import wait_for

CLASSES = (
    Cadence, Capture, Encoder, FullRotation, LossLedger, MarkLog, MemoryOutbox, OutboxDelivery,
    Overhead, Recorder, ScalarLog, Snapshot, Stage, WaitingLine,
)  # fmt: skip
BENEATH_A_THREAD = frozenset({"_work", "pending"})
"""A thread's own loop, and what it asks between two pieces of work: nothing is above them."""

METHODS = [
    (owner, name)
    for owner in CLASSES
    for name, value in vars(owner).items()
    if isfunction(value) and not name.startswith("__") and name not in BENEATH_A_THREAD
]
CLOSE_SECONDS = 0.3
"""Where the outbox is what is broken, no close can come to its end."""

pytestmark = pytest.mark.usefixtures("production_wall")


class Broken:
    """Takes a method's place and fails."""

    def __init__(self) -> None:
        self.calls = 0

    def __get__(self, instance: object, owner: type) -> Any:
        return self

    def __call__(self, *_: Any, **__: Any) -> Any:
        self.calls += 1
        raise RuntimeError("a fault of ours")


def told(caplog: pytest.LogCaptureFixture) -> Counter[str]:
    """The errors in the log, with how often each was told."""
    return Counter(record.getMessage() for record in caplog.records if record.exc_info)


def end_threads(monitor: Monitor) -> None:
    """Where a close was what is broken, the threads wait on; what they say is said by their end."""
    assert isinstance(monitor, Session)
    monitor._encoder.close(CLOSE_SECONDS)
    monitor._delivery.close(CLOSE_SECONDS)
    wait_for(lambda: not ours(), "the end of bifurk's threads")


def named(part: Any) -> str:
    return str(getattr(part, "__name__", part))


@pytest.mark.parametrize(("owner", "name"), METHODS, ids=named)
def test_a_method_that_raises_changes_nothing_and_is_told_once(
    owner: type, name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    training, broken = Training(), Broken()
    monitor = training.watch("broken", transport=InMemoryTransport())
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, broken)
        monitor.mark("checkpoint", path="here.pt")
        training.run(monitor)
        monitor.close(CLOSE_SECONDS)
    end_threads(monitor)
    assert training.outcome() == unwatched()
    assert set(told(caplog).values()) <= {1}
    assert bool(told(caplog)) == bool(broken.calls)


@pytest.mark.parametrize(
    ("owner", "name"),
    [(Spool, "append"), (Spool, "oldest"), (Spool, "discard"), (Urllib3Transport, "send")],
    ids=named,
)
def test_what_stands_between_the_disk_and_the_network_may_break_too(
    owner: type,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    spool_dir: Path,
) -> None:
    training, broken = Training(), Broken()
    monitor = training.watch("broken", url="http://127.0.0.1:9", spool_dir=spool_dir)
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, broken)
        training.run(monitor)
        monitor.close(CLOSE_SECONDS)
    end_threads(monitor)
    assert training.outcome() == unwatched()
    assert set(told(caplog).values()) <= {1}


def test_a_snapshot_that_cannot_be_described_is_counted_and_frees_its_buffers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    transport, training = InMemoryTransport(), Training()
    monitor = training.watch("undescribed", transport=transport)
    with monkeypatch.context() as patched:
        patched.setattr(Recorder, "_taken", Broken())
        training.run(monitor)
    training.run(monitor, steps=STEPS)
    monitor.close()
    assert training.outcome() == unwatched(2 * STEPS)
    report = transport.states()[-1]["loss_report"]
    assert report["dropped"] == {"capture_failed": 7}
    assert report["lost_sequences"] == [[0, 6]]
    assert [part.manifest.sequence for part in transport.parts()] == [7, 8, 9]


def test_an_interrupt_inside_the_hook_is_the_users_and_passes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    transport, training = InMemoryTransport(), Training()
    monitor = training.watch("interrupted", transport=transport)
    monkeypatch.setattr(Stage, "read", interrupted)
    with pytest.raises(KeyboardInterrupt):
        training.run(monitor)
    monkeypatch.undo()
    training.run(monitor, steps=STEPS)
    monitor.close()
    assert transport.states()[-1]["loss_report"]["dropped"] == {"capture_failed": 1}
    assert [part.manifest.sequence for part in transport.parts()] == list(range(1, 7))
