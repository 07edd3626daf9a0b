"""One message over HTTP, against a real receiver that misbehaves."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bifurk_service.notify.addresses import Destinations
from bifurk_service.notify.sending import LONGEST_WAIT_SECONDS, Outcome, Sender, retry_after_seconds
from tests.notify.receiver import Receiver
from tests.ports import own_port
from tests.server import DEADLINE_SECONDS


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    yield found
    found.close()


def sender(name: str = "127.0.0.1", context: ssl.SSLContext | None = None) -> Sender:
    found = Destinations(private=True, lookup=lambda _host, _port: [name])
    return Sender(found, context)


def post(url: str, *, timeout: float = 60.0) -> Outcome:
    return sender().post(url, b'{"a":1}', {"X-More": "yes"}, timeout_seconds=timeout)


def test_a_message_arrives_as_it_was_made_at_the_name_it_was_for(receiver: Receiver) -> None:
    outcome = post(f"http://hooks.example.org:{receiver.port}/path?key=value")
    assert outcome == Outcome(status_code=200)
    [got] = receiver.received
    assert (got.path, got.body) == ("/path?key=value", b'{"a":1}')
    assert got.headers["Host"] == f"hooks.example.org:{receiver.port}"
    assert got.headers["Content-Type"] == "application/json"
    assert got.headers["X-More"] == "yes"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(receiver: Receiver, status: int) -> None:
    receiver.answer(status, {"Location": f"{receiver.url}/elsewhere"})
    outcome = post(receiver.url)
    assert (outcome.status_code, outcome.delivered, outcome.again) == (status, False, False)
    assert len(receiver.received) == 1


@pytest.mark.parametrize(
    ("status", "again"), [(400, False), (404, False), (408, True), (429, True), (500, True)]
)
def test_a_refusal_says_whether_another_try_may_help(
    receiver: Receiver, status: int, again: bool
) -> None:
    receiver.answer(status, said=b"no\n\x1b[31m thanks")
    outcome = post(receiver.url)
    assert outcome.again is again
    assert outcome.error == f"answered {status}: no ?[31m thanks"


def test_a_receiver_may_ask_for_time(receiver: Receiver) -> None:
    receiver.answer(429, {"Retry-After": "7"})
    assert post(receiver.url).wait_seconds == 7.0


NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("99999999", LONGEST_WAIT_SECONDS),
        ("Thu, 26 Nov 2026 12:01:00 GMT", 60.0),
        ("Thu, 26 Nov 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("Thu, 26 Nov 99999999999999999999 12:00:00 GMT", None),
        ("Thu, 26 Nov 2026 12:00:00 +9999999999999999", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(
    header: str | None, seconds: float | None
) -> None:
    assert retry_after_seconds(header, now=NOW) == seconds


def test_nobody_there_is_worth_another_try() -> None:
    outcome = post(f"http://127.0.0.1:{own_port()}/")
    assert (outcome.status_code, outcome.again) == (None, True)
    assert outcome.error == "no answer: Connection refused"


def test_an_address_that_is_not_allowed_is_not_connected_to(receiver: Receiver) -> None:
    outcome = Sender(Destinations()).post(receiver.url, b"", {}, timeout_seconds=60)
    assert not outcome.delivered
    assert "not public" in (outcome.error or "")
    assert receiver.received == []


def test_proxies_of_the_environment_are_not_asked(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert post(receiver.url).delivered


def test_a_receiver_that_drips_is_cut_off_in_time() -> None:
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                try:
                    while not done.wait(0.05):
                        connection.sendall(b"H")
                except OSError:
                    return

        thread = threading.Thread(target=drip)
        thread.start()
        began = time.monotonic()
        outcome = post(f"http://127.0.0.1:{listener.getsockname()[1]}/", timeout=0.5)
        took = time.monotonic() - began
        done.set()
        thread.join()
    assert outcome.error == "no answer within 0.5 s"
    assert outcome.again
    assert took < DEADLINE_SECONDS / 2


def test_an_answer_without_end_is_not_read_to_the_end(receiver: Receiver) -> None:
    receiver.answer(500, said=b"x" * (8 << 20))
    outcome = post(receiver.url)
    assert outcome.error is not None
    assert len(outcome.error) < 300


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[int, ssl.SSLContext]]:
    """A TLS receiver whose certificate is for hooks.example.org alone, and who trusts it."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=hooks.example.org",
         "-addext", "subjectAltName=DNS:hooks.example.org",
         "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    receiver = Receiver()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    receiver.secure(context)
    yield receiver.port, ssl.create_default_context(cafile=str(certificate))
    receiver.close()


def test_the_certificate_must_be_the_names_though_the_address_is_connected_to(
    secure: tuple[int, ssl.SSLContext],
) -> None:
    port, context = secure
    good, bad = (
        sender(context=context).post(f"https://{host}:{port}/", b"{}", {}, timeout_seconds=60)
        for host in ("hooks.example.org", "other.example.org")
    )
    assert good.delivered, good.error
    assert not bad.delivered
    untrusted = sender().post(f"https://hooks.example.org:{port}/", b"{}", {}, timeout_seconds=60)
    assert "certificate is not trusted" in (untrusted.error or "")
