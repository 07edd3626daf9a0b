"""Delivery as a whole: a spool, a sender and a real server that has bad days."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bifurk.config import WatchConfig
from bifurk.delivery import Delivery, NoDelivery, OutboxDelivery, open_delivery
from bifurk.folder_lock import FolderLock
from bifurk.losses import LossLedger
from bifurk.record import frames, read_record
from bifurk.sender import THREAD_NAME, Sender
from bifurk.spool import Spool
from bifurk.spool_folder import records
from bifurk.testing import FailingTransport, InMemoryTransport, ManualClock
from bifurk.transport import Request
from tests.client.loopback import (
    Behaviour,
    Handler,
    Loopback,
    answers,
    drips,
    hangs,
    sends,
    serving,
)
from tests.ports import own_port
from tests.server import DEADLINE_SECONDS, wait_for

SOON_SECONDS = 50.0
"""Less than a request may take, which a server that stalls would make last."""


def part(sequence: int) -> Request:
    return Request(
        method="PUT",
        path=f"/api/v1/projects/p/runs/r/attempts/a1/snapshots/{sequence}/parts/0",
        headers={"Content-Encoding": "zstd"},
        body=b"body %d" % sequence,
        sequence=sequence,
    )


def online(folder: Path, url: str) -> WatchConfig:
    return WatchConfig(mode="online", url=url, token="secret", spool_dir=folder / "spool")


def offline(folder: Path) -> WatchConfig:
    return WatchConfig(mode="offline", project="p", run="r", attempt="a1", offline_dir=folder)


def sequences(server: Loopback) -> list[int]:
    return [int(received.path.split("/")[-3]) for received in server.received()]


def wants_token(token: str) -> Behaviour:
    """Keeps what comes with it; answers 401 to the rest."""

    def behave(handler: Handler) -> None:
        if handler.headers["Authorization"] == f"Bearer {token}":
            answers(201)(handler)
            return
        handler.rfile.read(int(handler.headers["Content-Length"]))
        handler.reply(401)

    return behave


def no_room(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
def ledger() -> LossLedger:
    return LossLedger()


class TestOnline:
    def test_what_is_put_arrives_and_nothing_stays_behind(
        self, tmp_path: Path, ledger: LossLedger
    ) -> None:
        with serving() as server:
            delivery = open_delivery(online(tmp_path, server.url), ledger)
            for sequence in range(20):
                delivery.put(part(sequence))
            assert delivery.flush(SOON_SECONDS)
            delivery.close(SOON_SECONDS)
            received = server.received(20)
        assert [one.body for one in received] == [part(n).body for n in range(20)]
        assert {one.headers["Authorization"] for one in received} == {"Bearer secret"}
        assert files(tmp_path) == []
        assert ledger.report().dropped == {}

    def test_without_a_server_all_waits_on_disk_and_the_next_process_sends_it(
        self, tmp_path: Path, ledger: LossLedger, caplog: pytest.LogCaptureFixture
    ) -> None:
        port = own_port()
        config = online(tmp_path, f"http://127.0.0.1:{port}")
        delivery = open_delivery(config, ledger)
        for sequence in range(3):
            delivery.put(part(sequence))
        assert not delivery.flush(0.2)
        delivery.close(0.2)
        assert ledger.report().dropped == {}
        assert "python -m bifurk sync" in caplog.text
        assert not any(b"secret" in path.read_bytes() for path in files(tmp_path))

        with serving(port=port) as server:
            delivery = open_delivery(config, ledger)
            delivery.put(part(3))
            assert delivery.flush(SOON_SECONDS)
            delivery.close(SOON_SECONDS)
            assert sequences(server) == [0, 1, 2, 3]
        assert files(tmp_path) == []

    def test_a_server_that_comes_back_gets_everything_in_order(
        self, tmp_path: Path, ledger: LossLedger
    ) -> None:
        port = own_port()
        with serving(port=port) as server:
            delivery = open_delivery(online(tmp_path, server.url), ledger)
            delivery.put(part(0))
            assert delivery.flush(SOON_SECONDS)
        delivery.put(part(1))
        delivery.put(part(2))
        assert not delivery.flush(0.2)
        with serving(port=port) as server:
            assert delivery.flush(SOON_SECONDS)
            delivery.close(SOON_SECONDS)
            assert sequences(server) == [1, 2]

    @pytest.mark.parametrize(
        "bad_day",
        [
            pytest.param(answers(500), id="500"),
            pytest.param(answers(503, Retry_After="1"), id="503"),
            pytest.param(answers(429, Retry_After="1"), id="429"),
            pytest.param(sends(b"\x00\xffgarbage\r\n\r\n"), id="garbage"),
            pytest.param(sends(b""), id="hangs up"),
            pytest.param(sends(b"HTTP/1.1 201 C\r\nContent-Length: 9\r\n\r\nha"), id="cut off"),
        ],
    )
    def test_a_bad_answer_only_delays(
        self, tmp_path: Path, ledger: LossLedger, bad_day: Behaviour
    ) -> None:
        with serving(bad_day) as server:
            delivery = open_delivery(online(tmp_path, server.url), ledger)
            delivery.put(part(0))
            delivery.put(part(1))
            assert delivery.flush(SOON_SECONDS)
            delivery.close(SOON_SECONDS)
            assert sequences(server) == [0, 0, 1]
        assert ledger.report().dropped == {}

    @pytest.mark.parametrize("stall", [hangs, drips(b"HTTP/1.1 201 Created\r\nX: ")])
    def test_a_stalling_server_holds_nobody_up(
        self, tmp_path: Path, ledger: LossLedger, stall: Behaviour
    ) -> None:
        with serving(stall) as server:
            delivery = open_delivery(online(tmp_path, server.url), ledger)
            delivery.put(part(0))
            server.received(1)
            start = time.monotonic()
            for sequence in range(1, 10):
                delivery.put(part(sequence))
            assert not delivery.flush(0.1)
            delivery.close(0.1)
            assert time.monotonic() - start < SOON_SECONDS
            assert len(records(next((tmp_path / "spool").iterdir()))) == 10

    def test_a_token_mended_later_costs_nothing_not_even_what_a_dead_process_left(
        self, tmp_path: Path, ledger: LossLedger
    ) -> None:
        with serving(*[wants_token("mended")] * 100) as server:
            wrong = online(tmp_path, server.url)
            for sequence in range(3):
                delivery = open_delivery(wrong, ledger)
                delivery.put(part(sequence))
                delivery.close(0.2)
            assert server.received() == []
            delivery = open_delivery(replace(wrong, token="mended"), ledger)
            assert delivery.flush(SOON_SECONDS)
            delivery.close(SOON_SECONDS)
            assert sequences(server) == [0, 1, 2]
        assert files(tmp_path) == []
        assert ledger.report().dropped == {}

    def test_a_413_drops_that_part_alone_and_is_told(
        self, tmp_path: Path, ledger: LossLedger
    ) -> None:
        refused: list[int] = []
        with serving(answers(413, b'{"detail": "at most 3 bytes"}')) as server:
            delivery = open_delivery(
                online(tmp_path, server.url), ledger, on_refused=refused.append
            )
            delivery.put(part(0))
            delivery.put(part(1))
            assert delivery.flush(SOON_SECONDS)
            delivery.close(SOON_SECONDS)
            assert sequences(server) == [0, 1]
        assert refused == [413]
        assert ledger.report().dropped == {"rejected_413": 1}
        assert ledger.report().lost_sequences == ((0, 0),)

    def test_heartbeats_go_out_while_nothing_else_does(
        self, tmp_path: Path, ledger: LossLedger
    ) -> None:
        with serving() as server:
            config = WatchConfig(
                mode="online", url=server.url, spool_dir=tmp_path, heartbeat_seconds=0.02
            )
            delivery = open_delivery(config, ledger, heartbeat=lambda: part(0))
            server.received(3)
            delivery.close(SOON_SECONDS)

    def test_a_spool_that_cannot_be_made_is_replaced_by_memory(
        self, tmp_path: Path, ledger: LossLedger, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "spool").write_text("a file where the folder should be")
        with serving() as server:
            delivery = open_delivery(online(tmp_path, server.url), ledger)
            delivery.put(part(0))
            assert delivery.flush(SOON_SECONDS)
            delivery.close(SOON_SECONDS)
            assert sequences(server) == [0]
        assert "snapshots wait in memory" in caplog.text

    def test_what_memory_still_holds_at_the_end_is_counted(
        self, tmp_path: Path, ledger: LossLedger, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "spool").write_text("a file where the folder should be")
        delivery = open_delivery(online(tmp_path, f"http://127.0.0.1:{own_port()}"), ledger)
        delivery.put(part(4))
        delivery.close(0.1)
        assert ledger.report().dropped == {"unsent_at_close": 1}
        assert "are lost" in caplog.text

    def test_a_url_nobody_can_use_fails_at_once(self, tmp_path: Path, ledger: LossLedger) -> None:
        with pytest.raises(ValueError, match="query"):
            open_delivery(online(tmp_path, "http://host/?key=1"), ledger)
        assert files(tmp_path) == []

    def test_closing_twice_is_fine_and_later_puts_are_counted(
        self, tmp_path: Path, ledger: LossLedger
    ) -> None:
        with serving() as server:
            delivery = open_delivery(online(tmp_path, server.url), ledger)
            delivery.close(SOON_SECONDS)
            delivery.close(SOON_SECONDS)
            delivery.put(part(5))
        assert ledger.report().dropped == {"closed": 1}

    def test_a_close_that_was_interrupted_is_finished_by_the_next(
        self,
        tmp_path: Path,
        ledger: LossLedger,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        def interrupt(*_: object) -> bool:
            raise KeyboardInterrupt

        delivery = open_delivery(online(tmp_path, f"http://127.0.0.1:{own_port()}"), ledger)
        delivery.put(part(0))
        with monkeypatch.context() as patch:
            patch.setattr(Sender, "close", interrupt)
            with pytest.raises(KeyboardInterrupt):
                delivery.close(SOON_SECONDS)
        delivery.put(part(1))
        delivery.close(0.1)
        delivery.close(0.1)
        assert ledger.report().dropped == {"closed": 1}
        assert caplog.text.count("1 requests have not reached the server") == 1
        [folder] = (tmp_path / "spool").iterdir()
        FolderLock(folder / "lock").release()

    def test_a_flush_hears_that_all_had_to_leave_for_what_could_not_be_written(
        self, tmp_path: Path, ledger: LossLedger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock = ManualClock()
        room = sum(map(len, frames(part(0)))) + 1
        spool = Spool(tmp_path / "own", max_bytes=room, ledger=ledger)
        sender = Sender(spool, FailingTransport(), ledger, clock=clock)
        delivery = OutboxDelivery(spool, ledger, sender=sender)
        sender.start()
        delivery.put(part(0))
        said: list[bool] = []
        flusher = threading.Thread(target=lambda: said.append(delivery.flush(SOON_SECONDS)))
        flusher.start()
        wait_for(lambda: len(clock._waiting) == 2, "both to sleep")
        monkeypatch.setattr("bifurk.spool.write_record", no_room)
        delivery.put(part(1))
        flusher.join(SOON_SECONDS)
        assert said == [True]
        assert ledger.report().dropped == {"spool_full": 1, "disk_full": 1}
        delivery.close(0)


class TestGivenTransport:
    def test_it_is_used_without_touching_the_disk(self, tmp_path: Path, ledger: LossLedger) -> None:
        transport = InMemoryTransport()
        config = WatchConfig(mode="online", spool_dir=tmp_path / "spool")
        delivery = open_delivery(config, ledger, transport=transport)
        delivery.put(part(0))
        assert delivery.flush(SOON_SECONDS)
        delivery.close(SOON_SECONDS)
        assert transport.requests == [part(0)]
        assert not transport.closed
        assert list(tmp_path.iterdir()) == []

    def test_its_queue_is_bounded(self, tmp_path: Path, ledger: LossLedger) -> None:
        transport = FailingTransport("hangs")
        config = WatchConfig(mode="online", spool_bytes=5 * len(part(0).body))
        delivery = open_delivery(config, ledger, transport=transport)
        delivery.put(part(0))
        assert transport.attempted.wait(SOON_SECONDS)
        for sequence in range(1, 10):
            delivery.put(part(sequence))
        transport.release()
        assert delivery.flush(SOON_SECONDS)
        delivery.close(SOON_SECONDS)
        assert ledger.report().dropped == {"memory_full": 5}
        assert ledger.report().lost_sequences == ((1, 5),)
        assert [one.sequence for one in transport.then.requests] == [0, 6, 7, 8, 9]


class TestOffline:
    def test_the_attempts_folder_holds_the_requests(
        self, tmp_path: Path, ledger: LossLedger
    ) -> None:
        delivery = open_delivery(offline(tmp_path), ledger)
        for sequence in range(3):
            delivery.put(part(sequence))
        assert delivery.flush(0)
        delivery.close(0)
        written = records(tmp_path / "p" / "r" / "a1")
        assert [read_record(path) for path in written] == [part(n) for n in range(3)]

    def test_a_resumed_attempt_goes_on_in_its_folder(
        self, tmp_path: Path, ledger: LossLedger
    ) -> None:
        for sequence in range(2):
            delivery = open_delivery(offline(tmp_path), ledger)
            delivery.put(part(sequence))
            delivery.close(0)
        written = records(tmp_path / "p" / "r" / "a1")
        assert [read_record(path).sequence for path in written] == [0, 1]

    def test_a_second_rank_gets_a_folder_inside(self, tmp_path: Path, ledger: LossLedger) -> None:
        ranks: list[Delivery] = [open_delivery(offline(tmp_path), ledger) for _ in range(2)]
        for sequence, delivery in enumerate(ranks):
            delivery.put(part(sequence))
            delivery.close(0)
        attempt = tmp_path / "p" / "r" / "a1"
        assert [read_record(path).sequence for path in records(attempt)] == [0]
        assert [read_record(path).sequence for path in attempt.glob("*/*.request")] == [1]

    def test_a_folder_that_cannot_be_written_costs_the_snapshots_and_says_so(
        self, tmp_path: Path, ledger: LossLedger, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "p").write_text("a file where the folder should be")
        delivery = open_delivery(offline(tmp_path), ledger)
        delivery.put(part(2))
        delivery.close(0)
        assert ledger.report().dropped == {"spool_unwritable": 1}
        assert ledger.report().lost_sequences == ((2, 2),)
        assert "snapshots are dropped" in caplog.text


def test_disabled_does_nothing_at_all(tmp_path: Path, ledger: LossLedger) -> None:
    config = WatchConfig(mode="disabled", offline_dir=tmp_path, spool_dir=tmp_path)
    delivery = open_delivery(config, ledger, transport=(transport := InMemoryTransport()))
    delivery.put(part(0))
    assert delivery.flush(0)
    delivery.close(0)
    assert isinstance(delivery, NoDelivery)
    assert transport.requests == []
    assert list(tmp_path.iterdir()) == []
    assert ledger.report().dropped == {}


def test_both_kinds_are_deliveries(tmp_path: Path, ledger: LossLedger) -> None:
    kinds: list[Delivery] = [NoDelivery(), open_delivery(offline(tmp_path), ledger)]
    assert isinstance(kinds[1], OutboxDelivery)
    for delivery in kinds:
        delivery.close(0)


SCRIPT = """
    import os, sys, threading
    from pathlib import Path
    from bifurk.config import WatchConfig
    from bifurk.delivery import open_delivery
    from bifurk.losses import LossLedger
    from bifurk.transport import Request
    def part(n):
        path = f"/api/v1/projects/p/runs/r/attempts/a1/snapshots/{n}/parts/0"
        return Request(method="PUT", path=path, body=b"%d" % n, sequence=n)
    config = WatchConfig(mode="online", url=sys.argv[1], spool_dir=Path(sys.argv[2]))
    delivery = open_delivery(config, LossLedger())
"""


def run_script(code: str, url: str, folder: Path) -> str:
    script = textwrap.dedent(SCRIPT) + textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-c", script, url, str(folder)],
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
class TestProcesses:
    def test_a_forked_child_neither_sends_nor_deletes(self, tmp_path: Path) -> None:
        code = """
            delivery.put(part(0))
            pid = os.fork()
            if pid == 0:
                delivery.put(part(99))
                assert not delivery.flush(0.1)
                delivery.close(0.1)
                sys.exit(0)  # runs the interpreter's whole end, atexit included
            assert os.waitpid(pid, 0)[1] == 0
            delivery.put(part(1))
            assert delivery.flush(60)
            delivery.close(60)
        """
        with serving() as server:
            run_script(code, server.url, tmp_path)
            assert sequences(server) == [0, 1]
        assert files(tmp_path) == []

    def test_a_child_forked_while_locks_are_held_does_not_deadlock(self, tmp_path: Path) -> None:
        code = """
            stop = threading.Event()
            def put_all_the_time():
                n = 0
                while not stop.is_set():
                    delivery.put(part(n))
                    n += 1
            threading.Thread(target=put_all_the_time, daemon=True).start()
            for _ in range(20):
                pid = os.fork()
                if pid == 0:
                    delivery.put(part(99))
                    delivery.flush(1)
                    delivery.close(1)
                    os._exit(0)
                assert os.waitpid(pid, 0)[1] == 0
            stop.set()
            delivery.close(0)
        """
        run_script(code, f"http://127.0.0.1:{own_port()}", tmp_path)

    def test_what_was_spooled_before_an_abrupt_exit_is_sent_next_time(self, tmp_path: Path) -> None:
        port = own_port()
        url = f"http://127.0.0.1:{port}"
        abrupt = "for n in range(3): delivery.put(part(n))\nos._exit(0)"
        run_script(abrupt, url, tmp_path)
        run_script(abrupt, url, tmp_path)
        with serving(port=port) as server:
            run_script("delivery.put(part(9)); delivery.close(60)", url, tmp_path)
            assert sequences(server) == [0, 1, 2, 0, 1, 2, 9]
        assert files(tmp_path) == []

    def test_an_interrupt_in_a_flush_leaves_all_in_order(self, tmp_path: Path) -> None:
        code = """
            import signal
            delivery.put(part(0))
            signal.signal(signal.SIGALRM, signal.default_int_handler)
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.2)
                delivery.flush(60)
            except KeyboardInterrupt:
                print("interrupted")
            delivery.put(part(1))
            delivery.close(0.1)
        """
        port = own_port()
        url = f"http://127.0.0.1:{port}"
        assert run_script(code, url, tmp_path) == "interrupted\n"
        with serving(port=port) as server:
            run_script("delivery.close(60)", url, tmp_path)
            assert sequences(server) == [0, 1]

    def test_the_interpreter_ends_without_a_close_and_without_a_word(self, tmp_path: Path) -> None:
        code = f"""
            assert any(thread.name == "{THREAD_NAME}" for thread in threading.enumerate())
            delivery.put(part(0))
        """
        assert run_script(code, f"http://127.0.0.1:{own_port()}", tmp_path) == ""
        assert len(list(tmp_path.glob("*/*.request"))) == 1
