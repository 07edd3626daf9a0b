"""The sender: order, retries, refusals, heartbeats; on a clock that the test moves."""

from __future__ import annotations

import email.utils
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from bifurk.breakage import SERVER_ERROR_TRIES
from bifurk.losses import LossLedger
from bifurk.outbox import MemoryOutbox
from bifurk.retry import (
    MAX_SECONDS,
    SHUT_SECONDS,
    Backoff,
    Verdict,
    problem_text,
    retry_after_seconds,
    verdict,
)
from bifurk.sender import THREAD_NAME, Sender
from bifurk.testing import Answer, FailingTransport, InMemoryTransport, ManualClock
from bifurk.transport import Request, Response, TransportError

HEARTBEAT = Request(method="PUT", path="/heartbeat")
SOON_SECONDS = 60.0
DAMAGED = Response(status=422, headers={"retry-after": "2"})
"""What a server says of a body that is not the one whose digest came with it."""


def part(sequence: int) -> Request:
    return Request(method="PUT", path=f"/{sequence}", body=b"%d" % sequence, sequence=sequence)


class Post:
    """An outbox, a sender on a manual clock, and what they need."""

    def __init__(self, transport: InMemoryTransport, **settings: object) -> None:
        self.transport = transport
        self.ledger = LossLedger()
        self.clock = ManualClock()
        self.outbox = MemoryOutbox(ledger=self.ledger)
        self.sender = Sender(
            self.outbox,
            transport,
            self.ledger,
            clock=self.clock,
            backoff=Backoff(random.Random(1)),
            **settings,  # type: ignore[arg-type]
        )

    def put(self, *sequences: int) -> None:
        for sequence in sequences:
            self.outbox.append(part(sequence))
        self.sender.wake()

    def sleep_after(self, count: int) -> float:
        """The sender's sleep once it has tried that often: not the one it woke from to try."""
        self.transport.wait_for_requests(count)
        return self.clock.wait_for_sleeper()

    def delivered(self) -> bool:
        """Flushes in real time: nothing here waits for the manual clock."""
        return self.sender.flush(SOON_SECONDS)


@pytest.fixture
def start() -> Iterator[Callable[..., Post]]:
    started: list[Post] = []

    def make(transport: InMemoryTransport, **settings: object) -> Post:
        post = Post(transport, **settings)
        post.sender.start()
        started.append(post)
        return post

    yield make
    for post in started:
        post.sender.close(0)
        post.sender._thread.join(SOON_SECONDS)


@pytest.fixture
def scripted(start: Callable[..., Post]) -> Callable[..., tuple[Post, InMemoryTransport]]:
    def make(*answers: Answer) -> tuple[Post, InMemoryTransport]:
        transport = InMemoryTransport(answers)
        return start(transport), transport

    return make


Scripted = Callable[..., tuple[Post, InMemoryTransport]]


class TestDelivery:
    def test_requests_arrive_in_order_and_leave_the_outbox(self, scripted: Scripted) -> None:
        post, transport = scripted()
        post.put(*range(50))
        assert post.delivered()
        assert transport.requests == [part(n) for n in range(50)]
        assert post.outbox.pending() == 0
        assert post.ledger.report().dropped == {}

    def test_it_wakes_at_once_when_something_comes(self, scripted: Scripted) -> None:
        post, transport = scripted()
        assert post.clock.wait_for_sleeper() == float("inf")
        post.put(0)
        assert transport.wait_for_requests(1) == [part(0)]

    def test_one_named_daemon_thread_does_it(self, scripted: Scripted) -> None:
        before = {*threading.enumerate()}
        scripted()
        [thread] = {*threading.enumerate()} - before
        assert thread.name == THREAD_NAME
        assert thread.daemon

    def test_every_2xx_answer_reaches_on_reply(self, start: Callable[..., Post]) -> None:
        replies: list[tuple[Request, int]] = []
        answers = [Response(status=200, body=b"{}"), Response(status=422)]

        def keep(request: Request, response: Response) -> None:
            replies.append((request, response.status))

        post = start(InMemoryTransport(answers), on_reply=keep)
        post.put(0, 1, 2)
        assert post.delivered()
        post.sender.close(SOON_SECONDS)
        assert replies == [(part(0), 200), (part(2), 201)]

    def test_a_reader_of_answers_that_fails_harms_nothing(
        self, start: Callable[..., Post], caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(*_: object) -> None:
            raise RuntimeError("a directive nobody understands")

        transport = InMemoryTransport()
        post = start(transport, on_reply=fail)
        post.put(0, 1)
        assert post.delivered()
        post.sender.close(SOON_SECONDS)
        assert transport.requests == [part(0), part(1)]
        assert len(caplog.records) == 1

    @pytest.mark.parametrize(("status", "told"), [(201, "on_reply"), (422, "on_refused")])
    def test_a_flush_is_over_once_whoever_is_told_of_the_last_answer_has_heard(
        self, start: Callable[..., Post], status: int, told: str
    ) -> None:
        begun, heard = threading.Event(), threading.Event()

        def hear(*_: object) -> None:
            begun.set()
            assert heard.wait(SOON_SECONDS)

        post = start(InMemoryTransport([status]), **{told: hear})
        post.put(0)
        assert begun.wait(SOON_SECONDS)
        assert not post.sender.flush(0)
        heard.set()
        assert post.delivered()


class TestRetries:
    @pytest.mark.parametrize(
        "answer",
        [500, 502, 503, 408, 429, 302, DAMAGED, TransportError("connection refused")],
    )
    def test_the_same_bytes_are_sent_until_they_arrive(
        self, scripted: Scripted, answer: Answer
    ) -> None:
        post, transport = scripted(answer, answer, answer)
        post.put(0, 1)
        for tries in (1, 2, 3):
            post.sleep_after(tries)
            post.clock.advance(MAX_SECONDS)
        expected = [part(0), part(0), part(0), part(0), part(1)]
        assert transport.wait_for_requests(5) == expected
        assert post.delivered()
        assert post.ledger.report().dropped == {}

    def test_it_waits_longer_and_longer_up_to_a_minute(self, scripted: Scripted) -> None:
        post, _ = scripted(*[503] * 40)
        post.put(0)
        sleeps = []
        for tries in range(1, 41):
            sleeps.append(post.sleep_after(tries))
            post.clock.advance(sleeps[-1])
        assert sleeps[0] <= 0.5
        assert max(sleeps[:4]) < 4 < max(sleeps) <= MAX_SECONDS

    def test_it_does_not_try_before_the_server_wants_it(self, scripted: Scripted) -> None:
        post, transport = scripted(Response(status=429, headers={"retry-after": "30"}))
        post.put(0)
        assert post.sleep_after(1) == 30
        post.clock.advance(29)
        assert post.clock.wait_for_sleeper() == 1
        assert len(transport.requests) == 1
        post.clock.advance(1)
        transport.wait_for_requests(2)

    def test_new_parts_do_not_cut_the_wait_short(self, scripted: Scripted) -> None:
        post, transport = scripted(Response(status=503, headers={"retry-after": "30"}))
        post.put(0)
        post.sleep_after(1)
        post.clock.advance(1)
        post.put(1)
        assert post.clock.wait_for_sleeper() == 29
        assert len(transport.requests) == 1

    def test_a_flush_tries_at_once(self, scripted: Scripted) -> None:
        post, transport = scripted(Response(status=503, headers={"retry-after": "60"}))
        post.put(0)
        post.sleep_after(1)
        assert post.delivered()
        assert transport.requests == [part(0), part(0)]

    def test_an_outage_is_logged_once_and_its_end_once(
        self, scripted: Scripted, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "bifurk")
        post, _ = scripted(*[TransportError("connection refused")] * 5)
        post.put(0, 1)
        for tries in range(1, 6):
            post.sleep_after(tries)
            post.clock.advance(MAX_SECONDS)
        post.transport.wait_for_requests(7)
        assert post.delivered()
        post.sender.close(SOON_SECONDS)
        assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
        assert "connection refused" in caplog.records[0].getMessage()

    def test_a_transport_that_breaks_its_promise_is_tried_again(
        self, start: Callable[..., Post], caplog: pytest.LogCaptureFixture
    ) -> None:
        class Broken(InMemoryTransport):
            def send(self, request: Request, *, deadline_seconds: float) -> Response:
                if len(self.requests) < 2:
                    super().send(request, deadline_seconds=deadline_seconds)
                    raise ZeroDivisionError
                return super().send(request, deadline_seconds=deadline_seconds)

        transport = Broken()
        post = start(transport)
        post.put(0)
        for tries in (1, 2):
            post.sleep_after(tries)
            post.clock.advance(MAX_SECONDS)
        assert transport.wait_for_requests(3) == [part(0)] * 3
        assert post.delivered()
        assert len(caplog.records) == 1


class TestRefusals:
    def test_a_conflict_is_counted_and_left_behind(self, scripted: Scripted) -> None:
        post, transport = scripted(409)
        post.put(7, 8)
        assert post.delivered()
        assert transport.requests == [part(7), part(8)]
        assert post.ledger.report().dropped == {"conflict": 1}
        assert post.ledger.report().lost_sequences == ((7, 7),)

    def test_refusals_are_counted_by_status_and_logged_once_each_with_the_reason(
        self, scripted: Scripted, caplog: pytest.LogCaptureFixture
    ) -> None:
        too_large = Response(status=413, body=b'{"title": "Too large", "detail": "at most 1 MiB"}')
        post, _ = scripted(too_large, too_large, Response(status=422, body=b"bad manifest"))
        post.put(0, 1, 2, 3)
        assert post.delivered()
        assert post.ledger.report().dropped == {"rejected_413": 2, "rejected_422": 1}
        assert post.ledger.report().lost_sequences == ((0, 2),)
        assert [record.getMessage() for record in caplog.records] == [
            "the server refused a request (413): at most 1 MiB",
            "the server refused a request (422): bad manifest",
        ]

    def test_refusals_of_this_attempts_snapshots_are_passed_on(
        self, start: Callable[..., Post]
    ) -> None:
        told: list[int] = []
        post = start(InMemoryTransport([422, 413, 409, 201]), on_refused=told.append)
        post.outbox.append(replace(part(9), sequence=None))
        post.put(0, 1, 2)
        assert post.delivered()
        assert told == [413, 409]

    def test_who_is_told_of_a_refusal_and_fails_harms_nothing(
        self, start: Callable[..., Post], caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(_: int) -> None:
            raise RuntimeError("nobody knows what to do about it")

        transport = InMemoryTransport([413, 413])
        post = start(transport, on_refused=fail)
        post.put(0, 1, 2)
        assert post.delivered()
        assert transport.requests == [part(0), part(1), part(2)]
        assert post.ledger.report().dropped == {"rejected_413": 2}
        assert len(caplog.records) == 2

    @pytest.mark.parametrize(("answer", "status"), [(500, 500), (DAMAGED, 422)])
    def test_what_the_server_breaks_on_every_time_is_given_up_and_the_rest_goes_on(
        self, scripted: Scripted, caplog: pytest.LogCaptureFixture, answer: Answer, status: int
    ) -> None:
        post, transport = scripted(*[answer] * SERVER_ERROR_TRIES)
        post.put(7, 8)
        for tries in range(1, SERVER_ERROR_TRIES):
            post.sleep_after(tries)
            assert post.ledger.report().dropped == {}
            post.clock.advance(MAX_SECONDS)
        post.sleep_after(SERVER_ERROR_TRIES)
        post.clock.advance(MAX_SECONDS)
        assert transport.wait_for_requests(SERVER_ERROR_TRIES + 1)[-1] == part(8)
        assert post.delivered()
        assert post.ledger.report().dropped == {f"rejected_{status}": 1}
        assert post.ledger.report().lost_sequences == ((7, 7),)
        assert f"the server refused a request ({status})" in caplog.text

    @pytest.mark.parametrize("answer", [503, TransportError("connection refused")])
    def test_other_trouble_is_waited_out_however_long(
        self, scripted: Scripted, answer: Answer
    ) -> None:
        tries = 2 * SERVER_ERROR_TRIES
        post, _ = scripted(500, *[answer] * tries, 500)
        post.put(0)
        for count in range(1, tries + 3):
            post.sleep_after(count)
            post.clock.advance(MAX_SECONDS)
        post.transport.wait_for_requests(tries + 3)
        assert post.delivered()
        assert post.ledger.report().dropped == {}


class TestShutDoors:
    @pytest.mark.parametrize(
        ("status", "advice"),
        [(401, "BIFURK_TOKEN"), (403, "BIFURK_TOKEN"), (404, "BIFURK_URL"), (405, "BIFURK_URL")],
    )
    def test_what_waits_is_kept_and_one_warning_says_what_to_do(
        self, scripted: Scripted, caplog: pytest.LogCaptureFixture, status: int, advice: str
    ) -> None:
        post, transport = scripted(*[status] * 5)
        post.put(0, 1)
        for tries in range(1, 6):
            assert SHUT_SECONDS <= post.sleep_after(tries) <= MAX_SECONDS
            post.clock.advance(MAX_SECONDS)
        assert transport.wait_for_requests(7)[-2:] == [part(0), part(1)]
        assert post.delivered()
        assert post.ledger.report().dropped == {}
        [record] = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert f"({status})" in record.getMessage()
        assert advice in record.getMessage()

    def test_its_opening_is_logged(
        self, scripted: Scripted, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "bifurk")
        post, _ = scripted(401)
        post.put(0)
        post.sleep_after(1)
        assert post.delivered()
        post.sender.close(SOON_SECONDS)
        assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


class TestFlushAndClose:
    def test_a_flush_without_a_server_gives_up_at_its_deadline(
        self, start: Callable[..., Post]
    ) -> None:
        post = start(InMemoryTransport([TransportError("connection refused")] * 100))
        post.put(0)
        results: list[bool] = []
        flusher = threading.Thread(target=lambda: results.append(post.sender.flush(5.0)))
        flusher.start()
        while flusher.is_alive():
            post.clock.wait_for_sleeper()
            post.clock.advance(1.0)
            flusher.join(0.01)
        assert results == [False]
        assert post.outbox.pending() == 1

    def test_a_flush_while_a_pause_is_chosen_is_not_slept_over(
        self, scripted: Scripted, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        post, transport = scripted(503)
        flusher = threading.Thread(target=post.delivered)

        def choose(_: Backoff, **__: float) -> float:
            flusher.start()
            flusher.join(0.1)
            return MAX_SECONDS

        monkeypatch.setattr(Backoff, "next_seconds", choose)
        post.put(0)
        assert transport.wait_for_requests(2) == [part(0), part(0)]
        flusher.join(SOON_SECONDS)

    def test_flushing_nothing_is_done_at_once(self, scripted: Scripted) -> None:
        post, _ = scripted()
        assert post.sender.flush(0)

    def test_a_close_sends_what_is_left_and_ends_the_thread(self, scripted: Scripted) -> None:
        before = {*threading.enumerate()}
        post, transport = scripted(Response(status=503, headers={"retry-after": "60"}))
        post.put(0)
        post.sleep_after(1)
        assert post.sender.close(SOON_SECONDS)
        assert post.sender.close(SOON_SECONDS)
        assert transport.requests == [part(0), part(0)]
        assert THREAD_NAME not in {thread.name for thread in {*threading.enumerate()} - before}

    def test_a_close_with_a_hanging_server_ends_at_its_deadline(self) -> None:
        transport = FailingTransport("hangs")
        outbox = MemoryOutbox(ledger=LossLedger())
        sender = Sender(outbox, transport, LossLedger())
        outbox.append(part(0))
        sender.start()
        assert transport.attempted.wait(SOON_SECONDS)
        before = time.monotonic()
        assert not sender.close(0.2)
        assert time.monotonic() - before < SOON_SECONDS
        transport.release()

    def test_a_sender_that_never_started_closes(self) -> None:
        sender = Sender(MemoryOutbox(ledger=LossLedger()), InMemoryTransport(), LossLedger())
        assert sender.close(SOON_SECONDS)


class TestHeartbeats:
    def test_one_is_sent_every_interval(self, start: Callable[..., Post]) -> None:
        transport = InMemoryTransport()
        post = start(transport, heartbeat=lambda: HEARTBEAT, heartbeat_seconds=60)
        for count in range(3):
            assert post.sleep_after(count) == 60
            post.clock.advance(60)
        assert transport.wait_for_requests(3) == [HEARTBEAT] * 3

    def test_they_go_on_beside_a_part_that_the_server_cannot_take(
        self, start: Callable[..., Post]
    ) -> None:
        answers: list[Answer] = [Response(status=500, headers={"retry-after": "60"}), 500]
        transport = InMemoryTransport(answers)
        post = start(transport, heartbeat=lambda: HEARTBEAT, heartbeat_seconds=10)
        post.put(0)
        assert post.sleep_after(1) == 10
        post.clock.advance(10)
        assert transport.wait_for_requests(2) == [part(0), HEARTBEAT]
        assert post.outbox.pending() == 1

    @pytest.mark.parametrize("answer", [500, 404, TransportError("refused")])
    def test_one_that_fails_is_not_repeated_and_not_counted(
        self, start: Callable[..., Post], answer: Answer
    ) -> None:
        transport = InMemoryTransport([answer])
        post = start(transport, heartbeat=lambda: HEARTBEAT, heartbeat_seconds=60)
        post.clock.wait_for_sleeper()
        post.clock.advance(60)
        assert post.sleep_after(1) == 60
        assert len(transport.requests) == 1
        assert post.ledger.report().dropped == {}

    def test_a_supplier_that_fails_does_not_stop_the_parts(
        self, start: Callable[..., Post]
    ) -> None:
        def fail() -> Request:
            raise RuntimeError("no heartbeat today")

        transport = InMemoryTransport()
        post = start(transport, heartbeat=fail, heartbeat_seconds=60)
        post.clock.wait_for_sleeper()
        post.clock.advance(60)
        post.put(0)
        assert post.delivered()


class TestPolicy:
    @pytest.mark.parametrize(
        ("statuses", "expected"),
        [
            ((200, 201, 204), Verdict.DELIVERED),
            ((409,), Verdict.CONFLICT),
            ((400, 410, 413, 415, 422, 451), Verdict.REJECTED),
            ((401, 403, 404, 405), Verdict.SHUT),
            ((301, 307, 408, 429, 500, 503, 599), Verdict.RETRY),
        ],
    )
    def test_each_status_has_its_verdict(
        self, statuses: tuple[int, ...], expected: Verdict
    ) -> None:
        assert {verdict(status) for status in statuses} == {expected}

    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            ("7", 7.0),
            (" 7 ", 7.0),
            ("0", 0.0),
            ("86400", MAX_SECONDS),
            ("9" * 400, 0.0),
            ("-3", 0.0),
            ("1.5", 0.0),
            ("soon", 0.0),
            ("", 0.0),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
            ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_SECONDS),
            ("٣", 0.0),
        ],
    )
    def test_retry_after_is_read_in_seconds_and_bounded(self, text: str, seconds: float) -> None:
        response = Response(status=503, headers={"retry-after": text})
        assert retry_after_seconds(response) == seconds

    def test_retry_after_is_read_as_a_date(self) -> None:
        began = time.time()
        response = Response(
            status=503, headers={"retry-after": email.utils.formatdate(began + 20, usegmt=True)}
        )
        seconds = retry_after_seconds(response)
        assert 19 - (time.time() - began) < seconds <= 20

    @pytest.mark.parametrize(
        ("body", "text"),
        [
            (b'{"detail": "at most 3"}', "at most 3"),
            (b'{"title": "Unprocessable"}', "Unprocessable"),
            (b'{"detail": "no", "request_id": "5f-0c"}', "no [request 5f-0c]"),
            (
                b'{"detail": "no", "request_id": "a\\nb' + b"c" * 99 + b'"}',
                f"no [request a b{'c' * 61}]",
            ),
            (b"plain", "plain"),
            (b"", "no reason given"),
            (b"[1]", "[1]"),
            (b"\xff\x00\x1b[31m", "�  [31m"),
            (b"[" * 100_000, "[" * 300),
        ],
    )
    def test_the_servers_reason_is_shown_printable_and_short(self, body: bytes, text: str) -> None:
        assert problem_text(Response(status=422, body=body)) == text

    def test_backoff_spreads_over_the_whole_interval_and_starts_again(self) -> None:
        firsts, tenths = [], []
        for seed in range(300):
            backoff = Backoff(random.Random(seed))
            waits = [backoff.next_seconds() for _ in range(10)]
            firsts.append(waits[0])
            tenths.append(waits[-1])
            backoff.reset()
            assert backoff.next_seconds() <= 0.5
        assert min(firsts) < 0.05 < 0.45 < max(firsts) <= 0.5
        assert min(tenths) < 5 < 55 < max(tenths) <= MAX_SECONDS
