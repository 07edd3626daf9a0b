"""The spool: durable, bounded, in order, and passed on when its process dies."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bifurk.folder_lock import FolderInUseError, FolderLock
from bifurk.losses import LossLedger
from bifurk.outbox import MemoryOutbox, Outbox
from bifurk.record import HEADER_NAMES, TornRecordError, frames, read_record, write_record
from bifurk.spool import DISK_TRIES, Spool, open_spool
from bifurk.spool_folder import records
from bifurk.transport import Request
from bifurk.waiting import Slot, WaitingLine
from bifurk.wire import SLUG_PATTERN
from tests.server import DEADLINE_SECONDS

TARGET = "http://127.0.0.1:9"
ATTEMPT = "/api/v1/projects/p/runs/r/attempts/a1"


def request(sequence: int | None, size: int = 100) -> Request:
    return Request(
        method="PUT",
        path=f"{ATTEMPT}/snapshots/{sequence or 0}/parts/0",
        headers={"Content-Encoding": "zstd"},
        body=bytes([(sequence or 0) % 256]) * size,
        sequence=sequence,
    )


RECORD_BYTES = 20 + sum(map(len, frames(request(0))))
"""Room for one file of a ``request``: the digits of its checksum vary."""


def failing_with(code: int) -> Callable[[Path], Request]:
    def read(_: Path) -> Request:
        raise OSError(code, os.strerror(code))

    return read


def drain(outbox: Outbox) -> list[int | None]:
    """The sequences that come out, in order."""
    came = []
    while (entry := outbox.oldest()) is not None:
        came.append(entry.request.sequence)
        outbox.discard(entry)
    return came


@pytest.fixture
def ledger() -> LossLedger:
    return LossLedger()


@pytest.fixture
def spool(tmp_path: Path, ledger: LossLedger) -> Iterator[Spool]:
    spool = Spool(tmp_path / "own", max_bytes=1 << 20, ledger=ledger, target=TARGET)
    yield spool
    spool.close()


@contextmanager
def in_another_process(code: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Runs code with the spool's names imported; its stdin is a pipe to hold it by."""
    head = """
        import os, sys, signal
        from pathlib import Path
        from bifurk.losses import LossLedger
        from bifurk.spool import Spool, open_spool
        from bifurk.transport import Request
        parent = Path(sys.argv[1])
        def request(n):
            path = f"/api/v1/projects/p/runs/r/attempts/a1/snapshots/{n}/parts/0"
            return Request(method="PUT", path=path, body=b"x", sequence=n)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(code), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield process


SPOOLS_THREE_AND_WAITS = f"""
    spool = open_spool(parent, target="{TARGET}", max_bytes=1 << 20, ledger=LossLedger())
    for n in range(3):
        assert spool.append(request(n))
    print("spooled", flush=True)
    sys.stdin.read()
"""


class TestOneFolder:
    def test_requests_come_out_whole_and_in_order(self, spool: Spool) -> None:
        sent = [request(n, size=n) for n in range(20)]
        assert all(spool.append(one) for one in sent)
        came = []
        while (entry := spool.oldest()) is not None:
            came.append(entry.request)
            spool.discard(entry)
        assert came == sent
        assert spool.pending() == 0

    def test_what_is_appended_is_there_after_a_restart(
        self, tmp_path: Path, ledger: LossLedger
    ) -> None:
        first = Spool(tmp_path / "own", max_bytes=None, ledger=ledger)
        first.append(request(0))
        first.append(request(1))
        first.close()
        second = Spool(tmp_path / "own", max_bytes=None, ledger=ledger)
        second.append(request(2))
        assert drain(second) == [0, 1, 2]
        second.close()

    def test_only_the_owner_can_read_it(self, spool: Spool) -> None:
        spool.append(request(0))
        assert stat.S_IMODE(spool.folder.stat().st_mode) == 0o700
        assert [stat.S_IMODE(path.stat().st_mode) for path in records(spool.folder)] == [0o600]

    def test_an_emptied_folder_goes_away_and_a_full_one_stays(
        self, tmp_path: Path, ledger: LossLedger
    ) -> None:
        for name in ("empty", "full"):
            spool = Spool(tmp_path / name, max_bytes=None, ledger=ledger, target=TARGET)
            spool.append(request(0))
            if name == "empty":
                drain(spool)
            spool.close()
        assert [path.name for path in tmp_path.iterdir()] == ["full"]

    def test_what_is_being_written_at_the_close_is_not_swept_away(
        self, tmp_path: Path, ledger: LossLedger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        spool = Spool(tmp_path / "own", max_bytes=None, ledger=ledger, target=TARGET)

        def close_and_write(path: Path, content: Iterable[bytes]) -> None:
            spool.close()
            write_record(path, content)

        monkeypatch.setattr("bifurk.spool.write_record", close_and_write)
        assert spool.append(request(0))
        assert [read_record(path) for path in records(spool.folder)] == [request(0)]

    def test_a_second_holder_is_refused(self, spool: Spool, ledger: LossLedger) -> None:
        with pytest.raises(FolderInUseError, match="in use"):
            Spool(spool.folder, max_bytes=None, ledger=ledger)

    def test_a_released_entry_keeps_its_place(self, spool: Spool) -> None:
        spool.append(request(0))
        spool.append(request(1))
        entry = spool.oldest()
        assert entry is not None
        spool.release(entry)
        assert drain(spool) == [0, 1]


class TestBounds:
    def test_the_oldest_are_dropped_first_and_counted(
        self, tmp_path: Path, ledger: LossLedger
    ) -> None:
        spool = Spool(tmp_path / "small", max_bytes=3 * RECORD_BYTES, ledger=ledger)
        assert all(spool.append(request(n)) for n in range(5))
        assert sum(path.stat().st_size for path in records(spool.folder)) <= 3 * RECORD_BYTES
        assert drain(spool) == [2, 3, 4]
        assert ledger.report().dropped == {"spool_full": 2}
        assert ledger.report().lost_sequences == ((0, 1),)
        spool.close()

    def test_the_one_being_sent_is_spared(self, tmp_path: Path, ledger: LossLedger) -> None:
        spool = Spool(tmp_path / "small", max_bytes=2 * RECORD_BYTES, ledger=ledger)
        spool.append(request(0))
        assert spool.oldest() is not None
        spool.append(request(1))
        spool.append(request(2))
        assert drain(spool) == [0, 2]
        assert ledger.report().lost_sequences == ((1, 1),)
        spool.close()

    def test_one_larger_than_the_bound_is_dropped_and_drives_nobody_out(
        self, tmp_path: Path, ledger: LossLedger
    ) -> None:
        spool = Spool(tmp_path / "small", max_bytes=1_000, ledger=ledger)
        assert spool.append(request(0))
        assert not spool.append(request(1, size=2_000))
        assert drain(spool) == [0]
        assert ledger.report().lost_sequences == ((1, 1),)
        spool.close()

    def test_the_memory_outbox_keeps_the_same_bounds(self, ledger: LossLedger) -> None:
        outbox = MemoryOutbox(ledger=ledger, max_bytes=300)
        assert all(outbox.append(request(n)) for n in range(5))
        assert not outbox.append(request(5, size=301))
        assert drain(outbox) == [2, 3, 4]
        assert ledger.report().dropped == {"memory_full": 3}
        assert ledger.report().lost_sequences == ((0, 1), (5, 5))

    def test_what_the_memory_outbox_still_holds_at_the_end_is_lost(
        self, ledger: LossLedger
    ) -> None:
        outbox = MemoryOutbox(ledger=ledger)
        outbox.append(request(7))
        outbox.close()
        outbox.close()
        assert ledger.report().dropped == {"unsent_at_close": 1}
        assert ledger.report().lost_sequences == ((7, 7),)

    @given(st.lists(st.integers(min_value=0, max_value=12)), st.integers(1, 20), st.integers(1, 5))
    def test_no_run_of_admissions_exceeds_the_bounds(
        self, sizes: list[int], max_bytes: int, max_entries: int
    ) -> None:
        line = WaitingLine(max_bytes=max_bytes, max_entries=max_entries)
        admitted: list[Slot] = []
        for size in sizes:
            admission = line.admit(size)
            assert (admission.slot is None) == (size > max_bytes)
            admitted = [slot for slot in admitted if slot not in admission.evicted]
            if admission.slot is not None:
                line.publish(admission.slot)
                admitted.append(admission.slot)
            assert line.slots() == tuple(admitted)
            assert sum(slot.size_bytes for slot in admitted) <= max_bytes
            assert len(line) <= max_entries


class TestBadDisks:
    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
    def test_a_full_disk_drops_what_comes_and_keeps_what_is_there(
        self,
        spool: Spool,
        ledger: LossLedger,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        code: int,
    ) -> None:
        def full(_: int) -> None:
            raise OSError(code, os.strerror(code))

        spool.append(request(0))
        with monkeypatch.context() as patch:
            patch.setattr("bifurk.record.os.fsync", full)
            assert not spool.append(request(1))
            assert not spool.append(request(2))
        assert spool.append(request(3))
        assert list(spool.folder.glob("*.tmp")) == []
        assert drain(spool) == [0, 3]
        assert ledger.report().dropped == {"disk_full": 2}
        assert ledger.report().lost_sequences == ((1, 2),)
        assert len(caplog.records) == 1

    def test_a_file_size_limit_counts_as_a_full_disk(self, tmp_path: Path) -> None:
        code = """
            import resource
            spool = Spool(parent, max_bytes=None, ledger=(ledger := LossLedger()))
            large = Request(method="PUT", path="/", body=bytes(1 << 20), sequence=1)
            resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
            assert spool.append(request(0))
            assert not spool.append(large)
            assert spool.append(request(2))
            print(spool.pending(), ledger.report().dropped, ledger.report().lost_sequences)
        """
        with in_another_process(code, tmp_path) as process:
            output, _ = process.communicate(timeout=DEADLINE_SECONDS)
        assert output == "2 {'disk_full': 1} ((1, 1),)\n"

    def test_a_folder_that_vanished_is_counted_as_unwritable(
        self, spool: Spool, ledger: LossLedger
    ) -> None:
        spool.append(request(0))
        shutil.rmtree(spool.folder)
        assert not spool.append(request(1))
        assert spool.oldest() is None
        assert spool.pending() == 0
        assert ledger.report().dropped == {"spool_unwritable": 1, "spool_unreadable": 1}

    def test_damaged_files_are_counted_and_skipped(self, spool: Spool, ledger: LossLedger) -> None:
        for n in range(6):
            spool.append(request(n))
        cut, flipped, emptied, noise, foreign = records(spool.folder)[:5]
        cut.write_bytes(cut.read_bytes()[:-1])
        flipped.write_bytes(flipped.read_bytes()[:-1] + b"!")
        emptied.write_bytes(b"")
        noise.write_bytes(os.urandom(200))
        foreign.write_bytes(b'{"format": 99}\n')
        assert drain(spool) == [5]
        assert ledger.report().dropped == {"spool_torn": 5}
        assert ledger.report().lost_sequences == ((0, 4),)

    def test_where_locks_do_not_work_it_cannot_be_opened_and_leaves_nothing(
        self, tmp_path: Path, ledger: LossLedger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def no_locks(*_: int) -> None:
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

        monkeypatch.setattr("fcntl.flock", no_locks)
        with pytest.raises(OSError, match="No locks"):
            open_spool(tmp_path, target=TARGET, max_bytes=1 << 20, ledger=ledger)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("code", [errno.EMFILE, errno.EIO, errno.ESTALE])
    def test_trouble_that_passes_drops_nothing(
        self, spool: Spool, ledger: LossLedger, monkeypatch: pytest.MonkeyPatch, code: int
    ) -> None:
        spool.append(request(0))
        with monkeypatch.context() as patch:
            patch.setattr("bifurk.spool.read_record", failing_with(code))
            for _ in range(DISK_TRIES - 1):
                assert spool.oldest() is None
        assert drain(spool) == [0]
        assert ledger.report().dropped == {}

    @pytest.mark.parametrize(("code", "reads"), [(errno.EIO, DISK_TRIES), (errno.EACCES, 1)])
    def test_a_file_that_stays_unreadable_is_passed_over_and_left_to_a_later_process(
        self,
        tmp_path: Path,
        ledger: LossLedger,
        monkeypatch: pytest.MonkeyPatch,
        code: int,
        reads: int,
    ) -> None:
        first = open_spool(tmp_path, target=TARGET, max_bytes=1 << 20, ledger=ledger)
        first.append(request(0))
        with monkeypatch.context() as patch:
            patch.setattr("bifurk.spool.read_record", failing_with(code))
            for _ in range(reads):
                assert first.oldest() is None
        first.append(request(1))
        assert drain(first) == [1]
        first.close()
        assert ledger.report().dropped == {"spool_unreadable": 1}
        assert ledger.report().lost_sequences == ((0, 0),)
        heir = open_spool(tmp_path, target=TARGET, max_bytes=1 << 20, ledger=ledger)
        assert drain(heir) == [0]
        heir.close()

    @pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs names of descriptors")
    def test_the_target_and_every_new_folder_survive_a_power_cut(
        self, tmp_path: Path, ledger: LossLedger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        synced: list[Path] = []

        def note(descriptor: int) -> None:
            synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())

        monkeypatch.setattr("bifurk.record.os.fsync", note)
        folder = tmp_path / "new" / "own"
        Spool(folder, max_bytes=None, ledger=ledger, target=TARGET).close()
        assert synced == [tmp_path, tmp_path / "new", folder / "target.tmp", folder]

    @given(st.binary(max_size=300))
    def test_no_bytes_make_a_file_that_crashes_the_reader(
        self, tmp_path_factory: pytest.TempPathFactory, content: bytes
    ) -> None:
        path = tmp_path_factory.getbasetemp() / "noise"
        path.write_bytes(content)
        with pytest.raises(TornRecordError):
            read_record(path)


PRINTABLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=99)
SLUGS = st.from_regex(SLUG_PATTERN, fullmatch=True)
ATTEMPTS = st.builds("/api/v1/projects/{}/runs/{}/attempts/{}".format, SLUGS, SLUGS, SLUGS)
PARTS = st.builds(
    "{}/snapshots/{}/parts/{}".format, ATTEMPTS, st.integers(0, 1 << 62), st.integers(0, 9)
)


@given(
    path=ATTEMPTS | PARTS,
    headers=st.dictionaries(st.sampled_from(sorted(HEADER_NAMES)), PRINTABLE),
    body=st.binary(max_size=200),
    sequence=st.none() | st.integers(0, 1 << 40),
)
def test_a_record_reads_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory,
    path: str,
    headers: dict[str, str],
    body: bytes,
    sequence: int | None,
) -> None:
    one = Request(method="PUT", path=path, headers=headers, body=body, sequence=sequence)
    file = tmp_path_factory.getbasetemp() / "one.request"
    write_record(file, frames(one))
    assert read_record(file) == one


@pytest.mark.parametrize(
    "forged",
    [
        {"method": "DELETE"},
        {"method": "put"},
        {"path": "/api/v1/tokens"},
        {"path": "/api/v1/runs/1"},
        {"path": f"{ATTEMPT}/../../../tokens"},
        {"path": f"{ATTEMPT}?admin=1"},
        {"path": f"{ATTEMPT}/snapshots/x/parts/0"},
        {"path": f"{ATTEMPT}\n"},
        {"path": f"@elsewhere{ATTEMPT}"},
        {"headers": {"Authorization": "Bearer mine"}},
        {"headers": {"Host": "elsewhere"}},
        {"headers": {"Content-Encoding": "zstd\r\nX-Smuggled: yes"}},
        {"headers": {"Content-Encoding": "ünprintable"}},
        {"headers": {"Content-Encoding": ""}},
    ],
)
def test_a_record_of_what_this_client_never_asks_for_is_left_out(
    spool: Spool, ledger: LossLedger, forged: dict[str, Any]
) -> None:
    spool.append(replace(request(0), **forged))
    spool.append(request(1))
    assert drain(spool) == [1]
    assert ledger.report().dropped == {"spool_torn": 1}


class TestPassingOn:
    def test_what_a_killed_process_left_is_sent_first(
        self, tmp_path: Path, ledger: LossLedger
    ) -> None:
        with in_another_process(SPOOLS_THREE_AND_WAITS, tmp_path) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "spooled\n"
            process.send_signal(signal.SIGKILL)
        heir = open_spool(tmp_path, target=TARGET, max_bytes=1 << 20, ledger=ledger)
        heir.append(request(100))
        assert drain(heir) == [0, 1, 2, 100]
        heir.close()
        assert list(tmp_path.iterdir()) == []

    def test_a_living_process_keeps_its_own(self, tmp_path: Path, ledger: LossLedger) -> None:
        with in_another_process(SPOOLS_THREE_AND_WAITS, tmp_path) as process:
            assert process.stdout is not None
            process.stdout.readline()
            other = open_spool(tmp_path, target=TARGET, max_bytes=1 << 20, ledger=ledger)
            assert other.pending() == 0
            other.close()
        assert process.returncode == 0

    def test_what_is_for_another_server_stays(self, tmp_path: Path, ledger: LossLedger) -> None:
        first = open_spool(tmp_path, target=TARGET, max_bytes=1 << 20, ledger=ledger)
        first.append(request(0))
        first.close()
        other = open_spool(tmp_path, target="https://else", max_bytes=1 << 20, ledger=ledger)
        assert other.pending() == 0
        other.close()
        heir = open_spool(tmp_path, target=TARGET, max_bytes=1 << 20, ledger=ledger)
        assert drain(heir) == [0]
        heir.close()

    def test_what_another_user_left_is_not_sent_in_ones_own_name(
        self,
        tmp_path: Path,
        ledger: LossLedger,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        first = open_spool(tmp_path, target=TARGET, max_bytes=1 << 20, ledger=ledger)
        first.append(request(0))
        first.close()
        with monkeypatch.context() as patch:
            patch.setattr("bifurk.spool_folder.os.geteuid", lambda: os.getuid() + 1)
            other = open_spool(tmp_path, target=TARGET, max_bytes=1 << 20, ledger=ledger)
        assert other.pending() == 0
        assert f"{first.folder} belongs to another user" in caplog.text
        assert len(records(first.folder)) == 1
        other.close()

    def test_losing_what_was_taken_over_is_no_loss_of_this_attempts_sequences(
        self, tmp_path: Path, ledger: LossLedger
    ) -> None:
        first = open_spool(tmp_path, target=TARGET, max_bytes=1 << 20, ledger=LossLedger())
        first.append(request(3))
        first.append(request(4))
        first.close()
        heir = open_spool(tmp_path, target=TARGET, max_bytes=2 * RECORD_BYTES, ledger=ledger)
        heir.append(request(0))
        assert ledger.report().dropped == {"spool_full": 1}
        assert ledger.report().lost_sequences == ()
        assert drain(heir) == [4, 0]
        heir.close()

    def test_foreign_things_beside_the_folders_do_no_harm(
        self, tmp_path: Path, ledger: LossLedger
    ) -> None:
        (tmp_path / "a file").write_text(TARGET)
        (tmp_path / "no lock").mkdir()
        (tmp_path / "no lock" / "target").write_text(TARGET)
        (tmp_path / "binary target").mkdir()
        (tmp_path / "binary target" / "target").write_bytes(b"\xff\xfe")
        spool = open_spool(tmp_path, target=TARGET, max_bytes=1 << 20, ledger=ledger)
        assert spool.pending() == 0
        spool.close()

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
    def test_a_forked_child_that_lives_on_does_not_hold_the_folder(self, tmp_path: Path) -> None:
        code = f"""
            spool = open_spool(parent, target="{TARGET}", max_bytes=1 << 20, ledger=LossLedger())
            spool.append(request(0))
            if os.fork() == 0:
                print("child", flush=True)
                sys.stdin.read()
                os._exit(0)
            os._exit(0)
        """
        with in_another_process(code, tmp_path) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "child\n"
            process.wait(timeout=DEADLINE_SECONDS)
            heir = open_spool(tmp_path, target=TARGET, max_bytes=1 << 20, ledger=LossLedger())
            assert drain(heir) == [0]
            heir.close()


def test_a_lock_can_be_taken_again_once_released(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path / "lock")
    with pytest.raises(FolderInUseError):
        FolderLock(tmp_path / "lock")
    lock.release()
    lock.release()
    FolderLock(tmp_path / "lock").release()
