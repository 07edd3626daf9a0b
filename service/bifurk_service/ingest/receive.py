"""One part: checked whole, its blob durable, its receipt committed; only then acknowledged."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

from bifurk.wire import Manifest, Part, PartTooLargeError, WireError, WireLimits, decode
from bifurk_service.errors import BusyError, InvalidError, TooLargeError, UnsupportedMediaError
from bifurk_service.store.blobs import BlobStore
from bifurk_service.store.engine import Database, Session
from bifurk_service.store.events import OnlyInLineError
from bifurk_service.store.models import Attempt
from bifurk_service.store.receipts import BlobReceipt, check_same, receive_part, what_is_known
from bifurk_service.store.runs import find_attempt
from bifurk_service.store.writers import check_writer

ENCODINGS = ("zstd", "identity")
RETRY_SECONDS = 2
NOTHING: Final[dict[str, Any]] = {"directives": [], "alerts": []}
"""What is told where an attempt was deleted meanwhile."""
_DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/=]+):")


@dataclass(frozen=True, slots=True, kw_only=True)
class PartAddress:
    """What the path of a part says; the manifest must say the same. ``writer``: who sends it."""

    project: str
    run: str
    attempt: str
    step: int
    rank: int
    writer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What became of a part: stored now or there already, and what its client is told."""

    created: bool
    told: dict[str, Any]


class Receiver:
    """Takes parts in, a bounded number at once.

    ``in_flight`` is how many are in hand now.

    Args:
        limits: of unpacking. max_concurrent: parts in hand at once.
        on_received: called after each with its outcome, stored or repeated, and its bytes.
        tell: what the client of an attempt is told beside, read where the part is stored.
    """

    def __init__(
        self,
        database: Database,
        blobs: BlobStore,
        *,
        limits: WireLimits,
        max_concurrent: int,
        on_received: Callable[[str, int], None],
        tell: Callable[[Session, Attempt], dict[str, Any]],
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._limits = limits
        self._most = max_concurrent
        self._lock = threading.Lock()
        self.in_flight = 0
        self._on_received = on_received
        self._tell = tell

    @contextmanager
    def slot(self) -> Iterator[None]:
        """A place for one part, held from before its body is read.

        Raises:
            BusyError: all are taken.
        """
        with self._lock:
            if self.in_flight >= self._most:
                raise BusyError(
                    "as many parts as this server takes at once are under way",
                    retry_after_seconds=RETRY_SECONDS,
                )
            self.in_flight += 1
        try:
            yield
        finally:
            with self._lock:
                self.in_flight -= 1

    def receive(
        self, body: bytes, address: PartAddress, *, encoding: str, content_digest: str | None
    ) -> Received:
        """Stores one part, unless it is there already.

        Raises:
            InvalidError, TooLargeError, UnsupportedMediaError: the part is refused.
            ConflictError: another body is stored for it.
            AttemptTakenError: its attempt is another writer's.
            StorageError: it could not be made safe.
        """
        if encoding not in ENCODINGS:
            raise UnsupportedMediaError(
                f"Content-Encoding is one of {', '.join(ENCODINGS)}, got {encoding!r}",
                where="Content-Encoding",
            )
        digest = checked_digest(body, content_digest)
        part = self._decode(body, encoding)
        _check_address(part.manifest, address)
        received = self._repeated(part.manifest, digest, address.writer) or self._store(
            part, body, digest, encoding, address.writer
        )
        self._on_received("stored" if received.created else "repeated", len(body))
        return received

    def _repeated(self, manifest: Manifest, digest: str, writer: str | None) -> Received | None:
        """Of a part that is there already; whose attempt is another's is refused unwritten."""
        with self._database.glance() as session:
            known = what_is_known(session, manifest)
        if known is None:
            return None
        check_writer(manifest.attempt, known.writer, writer)
        if known.digest is None:
            return None
        check_same(known.digest, digest)
        with self._database.read() as session:
            attempt = find_attempt(
                session, project=manifest.project, run=manifest.run, attempt=manifest.attempt
            )
            told = NOTHING if attempt is None else self._tell(session, attempt)
        return Received(created=False, told=told)

    def _decode(self, body: bytes, encoding: str) -> Part:
        try:
            return decode(body, encoding=encoding, limits=self._limits)
        except PartTooLargeError as error:
            raise TooLargeError(error.problem, where=error.where) from error
        except WireError as error:
            raise InvalidError(error.problem, where=error.where) from error

    def _store(
        self, part: Part, body: bytes, digest: str, encoding: str, writer: str | None
    ) -> Received:
        manifest = part.manifest
        key = (
            f"{manifest.project}/{manifest.run}/{manifest.attempt}/"
            f"{manifest.sequence:010d}-{manifest.rank}-{uuid4().hex}.part"
        )
        self._blobs.put(key, body)
        receipt = BlobReceipt(key=key, digest=digest, encoding=encoding, size_bytes=len(body))
        try:
            received = self._commit(part, receipt, writer)
        except BaseException:
            self._delete_unless_kept(key, manifest)
            raise
        if not received.created:
            self._blobs.delete(key)
        return received

    def _commit(self, part: Part, receipt: BlobReceipt, writer: str | None) -> Received:
        """Beside the parts of other runs; in line where it is news, such as a new attempt."""
        run = f"{part.manifest.project}/{part.manifest.run}"
        try:
            with self._database.write(beside=run) as session:
                return self._receive(session, part, receipt, writer)
        except OnlyInLineError:
            with self._database.write() as session:
                return self._receive(session, part, receipt, writer)

    def _receive(
        self, session: Session, part: Part, receipt: BlobReceipt, writer: str | None
    ) -> Received:
        attempt, created = receive_part(session, part, receipt, writer=writer, now=time.time())
        return Received(created=created, told=self._tell(session, attempt))

    def _delete_unless_kept(self, key: str, manifest: Manifest) -> None:
        """A commit may have gone through and failed to say so; when in doubt the blob stays.

        It may even be under way still, where the connection was lost: hence in line, behind it.
        """
        with self._database.write() as session:
            known = what_is_known(session, manifest)
            kept = known is not None and known.blob_key == key
        if not kept:
            self._blobs.delete(key)


def checked_digest(body: bytes, header: str | None) -> str:
    """The body's hex SHA-256, compared with the Content-Digest header (RFC 9530).

    Raises:
        InvalidError: there is none, or another body came; that one may be sent again.
    """
    digest = hashlib.sha256(body)
    match = _DIGEST.search(header or "")
    if match is None:
        raise InvalidError(
            f"expected sha-256=:BASE64: (RFC 9530), got {header!r}", where="Content-Digest"
        )
    try:
        announced = base64.b64decode(match[1], validate=True)
    except binascii.Error:
        raise InvalidError(f"not base64: {match[1]!r}", where="Content-Digest") from None
    if announced != digest.digest():
        raise InvalidError(
            f"{len(body)} bytes came with SHA-256 {digest.hexdigest()[:16]}..., "
            f"announced was {announced.hex()[:16]}...: the body changed on its way, send it again",
            where="Content-Digest",
            retry_after_seconds=RETRY_SECONDS,
        )
    return digest.hexdigest()


def _check_address(manifest: Manifest, address: PartAddress) -> None:
    for name in ("project", "run", "attempt", "step", "rank"):
        said, expected = getattr(manifest, name), getattr(address, name)
        if said != expected:
            raise InvalidError(
                f"the path says {expected!r}, the manifest {said!r}", where=f"manifest.{name}"
            )
