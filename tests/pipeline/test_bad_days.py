"""What goes wrong with one snapshot, part or run stays with it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from bifurk.exact import Exact
from bifurk.wire import Part
from bifurk_service.errors import ConflictError, StorageError
from bifurk_service.ingest.receive import Receiver
from bifurk_service.notify.rules import Policy
from bifurk_service.pipeline import loop as loop_module
from bifurk_service.pipeline import stale_blobs, sweeping
from bifurk_service.pipeline.judging import AttemptJudge, SupersededError
from bifurk_service.pipeline.sweeping import SWEEP_SECONDS, Sweeper, sweep_orphans
from bifurk_service.store.blobs import BlobStore
from bifurk_service.store.leases import Lease
from bifurk_service.store.models import TENSOR_STATS, Attempt, AttemptLease, Snapshot, StoredPart
from bifurk_service.store.reasons import statistics_told
from bifurk_service.store.runs import delete_run
from tests.parts import make_part
from tests.pipeline.house import House
from tests.server import DEADLINE_SECONDS


def test_a_part_that_comes_while_its_snapshot_is_measured_stops_nothing(house: House) -> None:
    two = make_part(0, expected_parts=2)
    house.receive(two)
    house.wait_in_vain()
    house.pipeline.advance()
    house.receive(make_part(0, run="other"))
    late = replace(two.manifest, rank=1)
    house.receive(Part(manifest=late, tensors=()))
    house.run_until("judged")


def test_parts_that_contradict_each_other_are_refused(house: House) -> None:
    house.receive(make_part(0, expected_parts=2))
    with pytest.raises(ConflictError, match="the other parts"):
        house.receive(make_part(0, expected_parts=3, rank=1))


def test_a_part_behind_its_measured_snapshot_is_refused_and_not_counted(house: House) -> None:
    two = make_part(0, expected_parts=2)
    house.receive(two)
    house.wait_in_vain()
    house.run_until("judged")
    with pytest.raises(ConflictError, match="came too late"):
        house.receive(Part(manifest=replace(two.manifest, rank=1), tensors=()))
    with house.database.read() as session:
        assert session.scalars(select(Snapshot.coverage)).one() == 0.5


def test_steps_that_descend_with_the_sequence_are_refused(house: House) -> None:
    house.receive(make_part(3))
    for sequence, step in ((4, 30), (4, 10), (2, 30), (2, 40), (3, 31)):
        with pytest.raises(ConflictError, match=r"contradicts|never changes"):
            house.receive(make_part(sequence, step=step))


def test_an_attempt_that_cannot_be_judged_holds_up_no_other(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.receive(make_part(0, run="poisoned"))
    house.receive(make_part(1, run="poisoned"))
    house.receive(make_part(0, run="sound"))
    judge = AttemptJudge.judge

    def fails(self: AttemptJudge, measured: Snapshot) -> int:
        if measured.id == 1:
            raise OverflowError("too large")
        return judge(self, measured)

    monkeypatch.setattr(loop_module.AttemptJudge, "judge", fails)
    house.run_until("judged", "failed")
    assert house.states() == ["failed", "judged", "judged"]


def test_a_run_whose_folder_takes_nothing_holds_up_no_other(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = house.blobs.put

    def refuses(key: str, data: bytes) -> None:
        if key.startswith("tests/run/"):
            raise StorageError("the blob could not be written: Permission denied")
        put(key, data)

    house.receive(make_part(0))
    for sequence in range(3):
        house.receive(make_part(sequence, run="other"))
    monkeypatch.setattr(house.blobs, "put", refuses)
    wait_for_states(house, ["received", "judged", "judged", "judged"])
    monkeypatch.undo()
    house.run_until("judged")


def wait_for_states(house: House, wanted: list[str]) -> None:
    end = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < end:
        with suppress(StorageError):
            house.pipeline.advance()
        if house.states() == wanted:
            return
        house.clock.advance(1.0)
        time.sleep(0.005)
    raise AssertionError(f"still {house.states()}")


def test_a_deleted_run_leaves_nothing_to_the_next(house: House) -> None:
    house.receive(make_part(0, run="old", seed=1))
    house.pipeline.advance()
    with house.database.write() as session:
        keys = delete_run(session, 1)
    for key in keys:
        house.blobs.delete(key)
    house.receive(make_part(0, run="new", seed=2))
    house.run_until("judged")
    with house.database.read() as session:
        assert session.scalars(select(Snapshot.id)).one() > 1
        stored = session.execute(select(TENSOR_STATS.c.std)).scalars().all()
    new, old = make_part(0, seed=2), make_part(0, seed=1)
    small = [t.values.float64().std() for t in new.tensors if t.values is not None]
    assert all(any(value == pytest.approx(std) for value in stored) for std in small)
    assert len(stored) == len(old.tensors)


def test_a_commit_that_fails_deletes_only_its_own_blob(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = make_part(0)

    clean_up = Receiver._delete_unless_kept

    def locked(*_: Any, **__: Any) -> bool:
        raise StorageError("locked")

    def retried_meanwhile(self: Receiver, *arguments: Any) -> None:
        monkeypatch.undo()
        assert house.receive(part)
        clean_up(self, *arguments)

    monkeypatch.setattr("bifurk_service.ingest.receive.receive_part", locked)
    monkeypatch.setattr(Receiver, "_delete_unless_kept", retried_meanwhile)
    with pytest.raises(StorageError):
        house.receive(part)
    house.run_until("judged")
    assert house.states() == ["judged"]


class Failing(Executor):
    """Fails the first snapshot's job some times, as a worker would; runs all others at once."""

    def __init__(self, errors: list[BaseException]) -> None:
        self.errors = errors

    def submit(self, fn, /, *args, **kwargs):  # type: ignore[no-untyped-def]
        future: Future[Any] = Future()
        if self.errors and args[0].snapshot_id == 1:
            future.set_exception(self.errors.pop(0))
        else:
            future.set_result(fn(*args, **kwargs))
        return future


@pytest.mark.parametrize(
    "error", [OSError(24, "Too many open files"), MemoryError(), BrokenProcessPool("killed")]
)
def test_a_passing_trouble_is_tried_again(house: House, error: BaseException) -> None:
    failing = Failing([error, error])
    house.executor = lambda _count: failing
    house.receive(make_part(0))
    house.run_until("judged", "failed")
    assert house.states() == ["judged"]


def test_a_part_that_always_kills_its_worker_is_given_up(house: House) -> None:
    failing = Failing([BrokenProcessPool("killed")] * 3)
    house.executor = lambda _count: failing
    house.receive(make_part(0))
    house.receive(make_part(1))
    house.run_until("judged", "failed")
    assert house.states() == ["failed", "judged"]
    with house.database.read() as session:
        failed = session.scalars(select(Snapshot).where(Snapshot.state == "failed")).one()
    assert failed.tries == 3
    assert "given up after 3 tries" in (failed.error or "")


def test_a_first_snapshot_that_comes_late_moves_no_base(house: House) -> None:
    for sequence in (1, 2):
        house.receive(make_part(sequence))
    house.wait_in_vain()
    house.run_until("judged")
    house.receive(make_part(0))
    house.receive(make_part(3))
    house.run_until("judged", "late")
    with house.database.read() as session:
        rows = session.execute(
            select(TENSOR_STATS.c.step, TENSOR_STATS.c.distance_to_first)
            .where(TENSOR_STATS.c.tensor_id == 1)
            .order_by(TENSOR_STATS.c.step)
        ).all()
    distances = {step: distance for step, distance in rows if distance is not None}
    assert distances[30] == pytest.approx(2 * distances[20], rel=0.05)


def test_stale_blobs_but_the_newest_go_although_workers_are_busy(house: House) -> None:
    for sequence in range(8):
        house.receive(make_part(sequence))
        house.pipeline.advance()
        time.sleep(0.01)
    house.run_until("judged")
    house.pipeline.advance()
    with house.database.read() as session:
        parts = list(session.scalars(select(StoredPart)))
    assert [part.stale_key is None for part in parts] == [True] * 7 + [False]
    kept = [part.blob_key for part in parts] + [part.stale_key for part in parts if part.stale_key]
    assert sorted(blob_files(house.blobs)) == sorted(kept)


def test_stale_blobs_that_cannot_go_hold_nothing_up_and_go_later(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    delete = house.blobs.delete

    def refuses(key: str) -> None:
        if key.startswith("tests/run/"):
            raise StorageError("the blob could not be deleted: away")
        delete(key)

    monkeypatch.setattr(house.blobs, "delete", refuses)
    for sequence in range(3):
        house.receive(make_part(sequence))
        house.receive(make_part(sequence, run="other"))
    house.run_until("judged")
    house.pipeline.advance()
    assert len(blobs_of(house, "run")) == 3 + 3, "each as it came, and stripped"
    assert len(blobs_of(house, "other")) == 3 + 1, "the last as it came is for the next"
    assert [one.message for one in caplog.records if "tried again" in one.message] == [
        "what is replaced stays for now, and is tried again: the blob could not be deleted: away"
    ]
    monkeypatch.undo()
    house.clock.advance(stale_blobs.AGAIN_SECONDS)
    house.pipeline.advance()
    assert len(blobs_of(house, "run")) == 3 + 1


def test_a_blob_store_that_is_away_and_slow_to_say_so_is_asked_once_in_a_while(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def away(key: str) -> None:
        asked.append(key)
        house.clock.advance(stale_blobs.MOST_SECONDS)
        raise StorageError("the blob could not be deleted: timed out")

    monkeypatch.setattr(house.blobs, "delete", away)
    for sequence in range(4):
        house.receive(make_part(sequence))
    house.run_until("judged")
    house.pipeline.advance()
    assert len(asked) == 1
    monkeypatch.undo()
    house.clock.advance(stale_blobs.AGAIN_SECONDS)
    house.pipeline.advance()
    assert len(blobs_of(house, "run")) == 4 + 1


def blobs_of(house: House, run: str) -> list[str]:
    return [key for key in blob_files(house.blobs) if key.startswith(f"tests/{run}/")]


def test_a_second_judge_of_the_same_attempt_changes_nothing(house: House) -> None:
    for sequence in range(2):
        house.receive(make_part(sequence))
    house.run_until("judged")
    with house.database.write() as session:
        judged = session.scalars(select(Snapshot).where(Snapshot.sequence == 0)).one()
        judged.state = "measured"
    with house.database.read() as session:
        row = session.get_one(AttemptLease, 1)
        lease = Lease(attempt_id=1, holder=row.holder or 0, fence=row.fence)
    second = AttemptJudge(house.database, lease, Policy())
    with pytest.raises((SupersededError, ValueError)):
        second.judge(judged)
    with house.database.read() as session:
        assert session.get_one(Attempt, 1).cursor == 1


def test_blobs_without_a_receipt_are_swept(house: House) -> None:
    house.receive(make_part(0))
    house.blobs.put("tests/run/first/orphan.part", b"left by a crash")
    assert sweep_orphans(house.database, house.blobs) == 0, "it may still get its receipt"
    assert sweep_orphans(house.database, house.blobs, older_than_seconds=-1.0) == 1
    house.run_until("judged")


def test_what_is_listed_for_long_holds_nothing_up(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(_seconds: float) -> Iterator[str]:
        begun.set()
        assert go_on.wait(DEADLINE_SECONDS)
        yield from ()

    monkeypatch.setattr(house.blobs, "older_than", slow)
    house.presence.give_sign()
    house.pipeline._do_chores()
    assert begun.wait(DEADLINE_SECONDS)
    assert house.chores_done == [house.clock.now()]
    house.receive(make_part(0))
    house.run_until("judged")
    house.clock.advance(loop_module.CHORES_SECONDS)
    house.pipeline._do_chores()
    assert len(house.chores_done) == 2
    go_on.set()
    house.pipeline.stop()


def test_blobs_that_cannot_be_listed_are_looked_for_again(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(seconds: float) -> Iterator[str]:
        raise StorageError(f"no bucket, asked for what is {seconds} s old")

    monkeypatch.setattr(house.blobs, "older_than", away)
    sweeper = Sweeper(house.database, house.blobs, monotonic=house.clock.now)
    sweeper.begin_if_due()
    sweeper.wait()
    assert "no bucket" in caplog.text
    monkeypatch.undo()
    orphan = left_by_a_crash(house)
    sweeper.begin_if_due()
    sweeper.wait()
    assert not orphan.exists()


def test_a_look_at_many_blobs_holds_a_few_at_a_time_and_can_be_ended(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.receive(make_part(0))
    monkeypatch.setattr(sweeping, "AT_ONCE", 2)
    for name in range(5):
        house.blobs.put(f"tests/run/first/{name}.part", b"left by a crash")
    asked = iter([False, True])
    ended = sweep_orphans(
        house.database, house.blobs, older_than_seconds=-1.0, is_stopped=lambda: next(asked)
    )
    assert ended <= 2
    left = sweep_orphans(house.database, house.blobs, older_than_seconds=-1.0)
    assert ended + left == 5
    house.run_until("judged")


def test_a_server_that_runs_for_months_sweeps_what_crashes_of_others_leave(house: House) -> None:
    house.receive(make_part(0))
    house.run_until("judged")
    house.presence.start()
    house.pipeline._do_chores()
    house.pipeline._sweeper.wait()
    path = left_by_a_crash(house)
    for seconds, there in ((SWEEP_SECONDS / 2, True), (SWEEP_SECONDS, False)):
        house.clock.advance(seconds)
        house.pipeline._do_chores()
        house.pipeline._sweeper.wait()
        assert path.exists() is there


def left_by_a_crash(house: House) -> Path:
    house.blobs.put("tests/run/first/orphan.part", b"left by a crash")
    path = Path(house.blobs.url) / "tests/run/first/orphan.part"
    os.utime(path, (0, 0))
    return path


def test_half_a_tensor_has_no_value(house: House) -> None:
    from bifurk.wire import Placement, TensorPart

    values = Exact(dtype="float32", data=make_part(0).tensors[1].values.data[:80])  # type: ignore[union-attr]
    half = TensorPart(
        name="w",
        shape=(160,),
        dtype="float32",
        values=values,
        placement=Placement(offset=(0,), local_shape=(80,)),
    )
    house.receive(Part(manifest=make_part(0).manifest, tensors=(half,)))
    house.run_until("judged")
    with house.database.read() as session:
        row = session.execute(statistics_told()).one()
    assert row.l2_norm is None
    assert row.no_value["l2_norm"] == "80 of 160 elements came"


def blob_files(blobs: BlobStore) -> list[str]:
    return [*blobs.older_than(-1.0)]
