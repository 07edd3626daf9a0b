"""The transport against a real server on loopback, on good days and bad ones."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bifurk.transport import MAX_REPLY_BYTES, Request, Transport, TransportError, Urllib3Transport
from tests.client.loopback import (
    Behaviour,
    answers,
    drips,
    hangs,
    never_reads,
    sends,
    serving,
)
from tests.ports import own_port

SOON_SECONDS = 30.0
"""Less than what stalls goes on for, and than a request may take here."""
REQUEST = Request(
    method="PUT",
    path="/api/v1/projects/p",
    headers={"Content-Encoding": "zstd", "Content-Digest": "sha-256=:x:"},
    body=b"\x00body\xff",
    sequence=3,
)


@contextmanager
def transport_to(url: str, token: str | None = None) -> Iterator[Transport]:
    transport = Urllib3Transport(url, token)
    try:
        yield transport
    finally:
        transport.close()


def test_the_request_arrives_as_it_is_with_the_token_and_the_prefix() -> None:
    with serving() as server, transport_to(f"{server.url}/behind/proxy/", "secret") as transport:
        response = transport.send(REQUEST, deadline_seconds=60)
    [received] = server.received(1)
    assert response.status == 201
    assert (received.method, received.path) == ("PUT", "/behind/proxy/api/v1/projects/p")
    assert received.body == REQUEST.body
    assert received.headers["Content-Digest"] == "sha-256=:x:"
    assert received.headers["Authorization"] == "Bearer secret"


def test_without_a_token_no_authorization_is_sent() -> None:
    with serving() as server, transport_to(server.url) as transport:
        transport.send(REQUEST, deadline_seconds=60)
    assert "Authorization" not in server.received(1)[0].headers


def test_one_connection_serves_many_requests() -> None:
    with serving(answers(200, b"{}"), answers(409, b"no")) as server:
        with transport_to(server.url) as transport:
            statuses = [transport.send(REQUEST, deadline_seconds=60).status for _ in range(4)]
        ports = {received.client_port for received in server.received(4)}
    assert statuses == [200, 409, 201, 201]
    assert len(ports) == 1


def test_a_connection_the_server_closed_is_opened_again() -> None:
    with (
        serving(answers(201, b"", Connection="close")) as server,
        transport_to(server.url) as transport,
    ):
        statuses = [transport.send(REQUEST, deadline_seconds=60).status for _ in range(2)]
    assert statuses == [201, 201]


def test_answers_carry_status_headers_and_body() -> None:
    with (
        serving(answers(429, b"later", Retry_After="7")) as server,
        transport_to(server.url) as transport,
    ):
        response = transport.send(REQUEST, deadline_seconds=60)
    assert (response.status, response.body) == (429, b"later")
    assert response.headers["retry-after"] == "7"


def test_an_endless_answer_is_read_in_part_and_the_next_request_works() -> None:
    with (
        serving(answers(200, b"y" * (3 * MAX_REPLY_BYTES))) as server,
        transport_to(server.url) as transport,
    ):
        first = transport.send(REQUEST, deadline_seconds=60)
        second = transport.send(REQUEST, deadline_seconds=60)
    assert first.body == b"y" * MAX_REPLY_BYTES
    assert second.status == 201


def test_an_absent_server_is_a_transport_error() -> None:
    with (
        transport_to(f"http://127.0.0.1:{own_port()}") as transport,
        pytest.raises(TransportError, match="refused"),
    ):
        transport.send(REQUEST, deadline_seconds=60)


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(hangs, id="it hangs"),
        pytest.param(drips(b"HTTP/1.1 201 Created\r\nX-Long: "), id="it drips in a header"),
        pytest.param(drips(b"HTTP/1.1 201 C\r\n\r\n"), id="it drips in an endless body"),
        pytest.param(drips(b"HTTP/1.1 201 C\r\nContent-Length: 500\r\n\r\n"), id="it drips a body"),
    ],
)
def test_the_deadline_holds_however_the_server_stalls(behaviour: Behaviour) -> None:
    with serving(behaviour) as server, transport_to(server.url) as transport:
        start = time.monotonic()
        with pytest.raises(TransportError):
            transport.send(REQUEST, deadline_seconds=0.5)
        elapsed = time.monotonic() - start
        server.released.set()
        assert transport.send(REQUEST, deadline_seconds=60).status == 201
    assert 0.4 < elapsed < SOON_SECONDS


def test_the_deadline_holds_when_the_server_does_not_read() -> None:
    large = Request(method="PUT", path="/", body=bytes(32 << 20))
    with serving(never_reads) as server, transport_to(server.url) as transport:
        start = time.monotonic()
        with pytest.raises(TransportError):
            transport.send(large, deadline_seconds=0.5)
        elapsed = time.monotonic() - start
    assert elapsed < SOON_SECONDS


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", id="another protocol"),
        pytest.param(b"\x00\xff" * 500, id="noise"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"HTTP/1.1 201 C\r\nContent-Length: 50\r\n\r\nhalf", id="cut off in the body"),
        pytest.param(b"HTTP/1.1 201 C\r\n" + b"A: b\r\n" * 500 + b"\r\n", id="too many headers"),
    ],
)
def test_what_is_no_whole_answer_is_a_transport_error(raw: bytes) -> None:
    with serving(sends(raw)) as server, transport_to(server.url) as transport:
        with pytest.raises(TransportError):
            transport.send(REQUEST, deadline_seconds=60)
        assert transport.send(REQUEST, deadline_seconds=60).status == 201


def test_redirects_are_not_followed_so_the_token_stays() -> None:
    with serving() as elsewhere:
        with (
            serving(answers(307, Location=f"{elsewhere.url}/stolen")) as server,
            transport_to(server.url, "secret") as transport,
        ):
            assert transport.send(REQUEST, deadline_seconds=60).status == 307
        assert elsewhere.received() == []


def test_a_request_that_http_cannot_carry_is_a_transport_error() -> None:
    broken = Request(method="PUT", path="/", headers={"X": "a\r\nEvil: yes"})
    with (
        serving() as server,
        transport_to(server.url) as transport,
        pytest.raises(TransportError, match="cannot be sent"),
    ):
        transport.send(broken, deadline_seconds=60)
    assert server.received() == []


@pytest.mark.parametrize(
    "url", ["ftp://host", "host:80", "http://", "http://u:p@host", "http://host/?q=1", ""]
)
def test_urls_that_cannot_be_used_are_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="url"):
        Urllib3Transport(url)


@pytest.mark.parametrize("token", ["two words", "line\nbreak", "schlüssel"])
def test_tokens_that_no_header_can_carry_are_refused_without_being_shown(token: str) -> None:
    with pytest.raises(ValueError, match="token") as caught:
        Urllib3Transport("http://host", token)
    assert token not in str(caught.value)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1, its key in the same file."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    path = tmp_path_factory.mktemp("tls") / "self-signed.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(path.with_suffix(".key")), "-out", str(path)]
    subprocess.run([*command.split(), *subject, *files], check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + path.with_suffix(".key").read_bytes())
    return path


@contextmanager
def serving_tls(certificate: Path, *behaviours: Behaviour) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with serving(*behaviours, tls=context) as server:
        yield server.url.replace("http:", "https:")


def test_a_certificate_nobody_vouches_for_is_refused(certificate: Path) -> None:
    with (
        serving_tls(certificate) as url,
        transport_to(url, "secret") as transport,
        pytest.raises(TransportError, match="certificate"),
    ):
        transport.send(REQUEST, deadline_seconds=60)


def test_a_trusted_certificate_is_accepted_and_the_deadline_holds_over_tls(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    slow = drips(b"HTTP/1.1 201 C\r\n\r\n")
    with serving_tls(certificate, answers(201), slow) as url, transport_to(url) as transport:
        assert transport.send(REQUEST, deadline_seconds=60).status == 201
        start = time.monotonic()
        with pytest.raises(TransportError):
            transport.send(REQUEST, deadline_seconds=0.5)
        elapsed = time.monotonic() - start
    assert elapsed < SOON_SECONDS
