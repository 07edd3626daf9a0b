"""One message over HTTP: to the address that was checked, within a time, and nowhere else."""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from socket import SHUT_RDWR
from typing import Final

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

import bifurk
from bifurk_service.notify.addresses import AddressError, Destinations, Place, check_url

ANSWER_BYTES: Final = 4096
"""Read of an answer; the rest is left where it is."""
SHOWN_CHARACTERS: Final = 200
LEAST_SECRET_CHARACTERS: Final = 5
"""Shorter pieces of an address are words, and hiding them would garble every answer."""
WORTH_ANOTHER_TRY: Final = frozenset({408, 425, 429})
"""Refusals that time may change, beside those of the receiver's own trouble (5xx)."""
LONGEST_WAIT_SECONDS: Final = 3600.0
"""Between two tries of one message, whatever a receiver asks for with Retry-After."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one try.

    Attributes:
        status_code: what was answered; None: nothing.
        error: why it did not arrive; None: it did.
        again: whether another try may help.
        wait_seconds: how long the receiver asks to be left alone; None: it does not.
    """

    status_code: int | None
    error: str | None = None
    again: bool = False
    wait_seconds: float | None = None

    @property
    def delivered(self) -> bool:
        """Whether the message arrived."""
        return self.error is None


class Sender:
    """Posts bodies to URLs; redirects are not followed, proxies of the environment not asked.

    Args:
        destinations: where may be sent to. context: of TLS; the system's authorities where None.
    """

    def __init__(self, destinations: Destinations, context: ssl.SSLContext | None = None) -> None:
        self._destinations = destinations
        self._context = context

    def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, timeout_seconds: float
    ) -> Outcome:
        """Sends one message and says what became of it; never raises for what is outside."""
        try:
            place = check_url(url)
            connection = self._connection(place, self._destinations.address(place), timeout_seconds)
        except AddressError as error:
            return Outcome(status_code=None, error=str(error), again=True)
        try:
            with _deadline(connection, timeout_seconds) as passed:
                try:
                    return _exchange(connection, place, body, headers)
                except (urllib3.exceptions.HTTPError, HTTPException, OSError, ValueError) as error:
                    return Outcome(
                        status_code=None,
                        again=True,
                        error=f"no answer within {timeout_seconds:g} s"
                        if passed.is_set()
                        else f"no answer: {_reason(error)}",
                    )
        finally:
            connection.close()

    def _connection(self, place: Place, address: str, timeout_seconds: float) -> HTTPConnection:
        """To the very address that was checked; the certificate must be the name's."""
        if place.scheme == "http":
            return HTTPConnection(address, place.port, timeout=timeout_seconds)
        return HTTPSConnection(
            address,
            place.port,
            timeout=timeout_seconds,
            ssl_context=self._context or ssl.create_default_context(),
            server_hostname=place.host,
            assert_hostname=place.host,
        )


@contextmanager
def _deadline(connection: HTTPConnection, seconds: float) -> Iterator[threading.Event]:
    """Cuts the line when the whole exchange takes longer: a receiver may drip byte by byte."""
    passed = threading.Event()

    def cut() -> None:
        passed.set()
        if connection.sock is not None:
            with suppress(OSError):
                connection.sock.shutdown(SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield passed
    finally:
        timer.cancel()


def _exchange(
    connection: HTTPConnection, place: Place, body: bytes, headers: Mapping[str, str]
) -> Outcome:
    connection.request(
        "POST",
        place.target,
        body=body,
        headers={
            "Host": place.host_header,
            "User-Agent": f"bifurk/{bifurk.__version__}",
            "Content-Type": "application/json",
            **headers,
        },
        preload_content=False,
    )
    response = connection.getresponse()
    if 200 <= response.status < 300:
        return Outcome(status_code=response.status)
    said = _said(response.read(ANSWER_BYTES, decode_content=False), hidden=_secrets(place, headers))
    return Outcome(
        status_code=response.status,
        error=f"answered {response.status}{said}",
        again=response.status in WORTH_ANOTHER_TRY or response.status >= 500,
        wait_seconds=retry_after_seconds(
            response.headers.get("Retry-After"), now=datetime.now(UTC)
        ),
    )


def retry_after_seconds(header: str | None, *, now: datetime) -> float | None:
    """What a Retry-After asks for, as seconds or as a date, within bounds; None: nothing."""
    if header is None:
        return None
    if re.fullmatch(r"\d{1,9}", header.strip()):
        seconds = float(header)
    else:
        try:
            until = parsedate_to_datetime(header)
            seconds = (until.replace(tzinfo=until.tzinfo or UTC) - now).total_seconds()
        except (ValueError, OverflowError):
            return None
    return min(max(seconds, 0.0), LONGEST_WAIT_SECONDS)


def _secrets(place: Place, headers: Mapping[str, str]) -> list[str]:
    """What an answer may repeat and nobody is to read: the address beyond the host, signatures."""
    pieces = re.split(r"[/?&=#]", place.target)
    long = [piece for piece in pieces if len(piece) >= LEAST_SECRET_CHARACTERS]
    return [place.target, *long, *headers.values()]


def _said(body: bytes, *, hidden: Sequence[str]) -> str:
    text = body.decode(errors="replace")
    for secret in hidden:
        if len(secret) >= LEAST_SECRET_CHARACTERS:
            text = text.replace(secret, "***")
    text = " ".join(text.split())[:SHOWN_CHARACTERS]
    return f": {''.join(c if c.isprintable() else '?' for c in text)}" if text else ""


def _reason(error: Exception) -> str:
    """The kind of failure and no more: texts of errors may hold the URL, which may be secret."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"the certificate is not trusted ({cause.verify_message})"
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__
