"""Where requests go: to the server through a spool, to a folder, or nowhere."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from bifurk.folder_lock import FolderInUseError
from bifurk.losses import LossLedger
from bifurk.outbox import DEFAULT_MEMORY_BYTES, MemoryOutbox, Outbox
from bifurk.readdressing import Readdressing
from bifurk.sender import Sender
from bifurk.spool import Spool, open_spool
from bifurk.spool_folder import new_folder_name
from bifurk.transport import Request, Response, Transport, Urllib3Transport

logger = logging.getLogger("bifurk")


class DeliveryConfig(Protocol):
    """What delivery needs of ``bifurk.config.WatchConfig``, which documents the fields."""

    @property
    def mode(self) -> str: ...  # noqa: D102 - see WatchConfig, here and below
    @property
    def url(self) -> str | None: ...  # noqa: D102
    @property
    def token(self) -> str | None: ...  # noqa: D102
    @property
    def spool_dir(self) -> Path: ...  # noqa: D102
    @property
    def spool_bytes(self) -> int: ...  # noqa: D102
    @property
    def offline_dir(self) -> Path: ...  # noqa: D102
    @property
    def project(self) -> str: ...  # noqa: D102
    @property
    def run(self) -> str: ...  # noqa: D102
    @property
    def attempt(self) -> str: ...  # noqa: D102
    @property
    def heartbeat_seconds(self) -> float: ...  # noqa: D102


class Delivery(Protocol):
    """Takes requests and sees to the rest; no method raises once it is open."""

    def put(self, request: Request) -> None:
        """Takes one request; costs at most a disk write, never a wait for the network."""
        ...

    def flush(self, deadline_seconds: float) -> bool:
        """Whether all that was put has arrived (or was dropped) within ``deadline_seconds``."""
        ...

    def close(self, deadline_seconds: float) -> None:
        """Flushes for that long and lets go; what is left is kept on disk; idempotent."""
        ...

    def listen(self) -> bool:
        """Says that somebody waits for the server's answers; whether there will be any."""
        ...

    @property
    def at_work(self) -> bool:
        """Whether the caller runs on the thread that delivers."""
        ...


def open_delivery(
    config: DeliveryConfig,
    ledger: LossLedger,
    *,
    heartbeat: Callable[[], Request] | None = None,
    transport: Transport | None = None,
    on_reply: Callable[[Request, Response], None] | None = None,
    on_refused: Callable[[int], None] | None = None,
) -> Delivery:
    """The delivery that the configuration asks for, running.

    Args:
        config: the settings.
        ledger: told of every drop.
        heartbeat: makes the request sent every ``heartbeat_seconds``; online only.
        transport: used instead of HTTP, with a queue in memory; the giver closes it.
        on_reply: given every 2xx answer and its request, on the sender's thread.
        on_refused: given the status of every snapshot that the server refuses for good, likewise.

    Raises:
        ValueError: the url or the token cannot be used.
    """
    if config.mode == "disabled":
        return NoDelivery()
    if config.mode == "offline":
        return _offline(config, ledger)
    own = None if transport is not None else _http(config)
    outbox = _memory(config, ledger) if own is None else _spool(config, ledger)
    way = transport or own
    assert way is not None
    carrier = Readdressing(way)
    sender = Sender(
        outbox,
        carrier,
        ledger,
        heartbeat=heartbeat,
        heartbeat_seconds=config.heartbeat_seconds,
        on_reply=on_reply,
        on_refused=on_refused,
    )
    sender.start()
    return OutboxDelivery(outbox, ledger, sender=sender, transport=own)


class NoDelivery:
    """Delivers nothing: ``mode="disabled"``.

    Args:
        ledger: when given, each request is counted there as ``spool_unwritable``.
    """

    def __init__(self, ledger: LossLedger | None = None) -> None:
        self._ledger = ledger

    def put(self, request: Request) -> None:
        """See ``Delivery.put``."""
        if self._ledger is not None:
            self._ledger.drop("spool_unwritable", request.sequence)

    def flush(self, deadline_seconds: float) -> bool:
        """Nothing ever waits here."""
        del deadline_seconds
        return True

    def close(self, deadline_seconds: float) -> None:
        """See ``Delivery.close``."""

    def listen(self) -> bool:
        """Nobody answers."""
        return False

    @property
    def at_work(self) -> bool:
        """There is no thread."""
        return False


class OutboxDelivery:
    """Puts requests into an outbox and, online, has a sender empty it.

    In a forked child every method does nothing: the files and the server are the parent's.

    Args:
        outbox: closed with this. ledger: told of what is put after the close.
        sender: running; None offline. transport: closed with this, when it is ours.
    """

    def __init__(
        self,
        outbox: Outbox,
        ledger: LossLedger,
        *,
        sender: Sender | None = None,
        transport: Transport | None = None,
    ) -> None:
        self._outbox = outbox
        self._ledger = ledger
        self._sender = sender
        self._transport = transport
        self._process = os.getpid()
        self._closed = False
        self._over = False

    def put(self, request: Request) -> None:
        """See ``Delivery.put``."""
        if self._foreign():
            return
        if self._closed:
            self._ledger.drop("closed", request.sequence)
            return
        taken = self._outbox.append(request)
        if self._sender is None:
            return
        if not taken and request.sequence is None:
            self._sender.say_last(request)
        # Also of what was not taken: others may have had to leave for it.
        self._sender.wake()

    def flush(self, deadline_seconds: float) -> bool:
        """See ``Delivery.flush``; offline, what was put is on disk already."""
        if self._foreign():
            return False
        return self._sender is None or self._sender.flush(deadline_seconds)

    def close(self, deadline_seconds: float) -> None:
        """See ``Delivery.close``."""
        if self._foreign() or self._over:
            return
        self._closed = True
        # An interrupt may come at any point: all of it can be done again.
        if self._sender is not None and not self._sender.close(deadline_seconds):
            left = self._outbox.pending()
            logger.warning("%d requests have not reached the server%s", left, self._fate())
        if self._transport is not None:
            self._transport.close()
        self._outbox.close()
        self._over = True

    def listen(self) -> bool:
        """See ``Delivery.listen``."""
        if self._sender is None or self._foreign():
            return False
        self._sender.listen()
        return True

    @property
    def at_work(self) -> bool:
        """See ``Delivery.at_work``."""
        return self._sender is not None and self._sender.at_work

    def _foreign(self) -> bool:
        return os.getpid() != self._process

    def _fate(self) -> str:
        if not isinstance(self._outbox, Spool):
            return " and are lost"
        return (
            f": they wait in {self._outbox.folder} for the next run,"
            f" or for `python -m bifurk sync {self._outbox.folder}`"
        )


def _http(config: DeliveryConfig) -> Transport:
    if config.url is None:
        raise ValueError("mode 'online' needs a url")
    return Urllib3Transport(config.url, config.token)


def _memory(config: DeliveryConfig, ledger: LossLedger) -> Outbox:
    return MemoryOutbox(ledger=ledger, max_bytes=min(config.spool_bytes, DEFAULT_MEMORY_BYTES))


def _spool(config: DeliveryConfig, ledger: LossLedger) -> Outbox:
    target = (config.url or "").rstrip("/")
    try:
        return open_spool(
            config.spool_dir, target=target, max_bytes=config.spool_bytes, ledger=ledger
        )
    except OSError as error:
        logger.warning(
            "the spool %s cannot be used (%s): snapshots wait in memory, at most %d MiB of them",
            config.spool_dir,
            error,
            DEFAULT_MEMORY_BYTES >> 20,
        )
        return _memory(config, ledger)


def _offline(config: DeliveryConfig, ledger: LossLedger) -> Delivery:
    folder = config.offline_dir / config.project / config.run / config.attempt
    try:
        outbox = _offline_spool(folder, ledger)
    except OSError as error:
        logger.warning("%s cannot be written, snapshots are dropped: %s", folder, error)
        return NoDelivery(ledger)
    return OutboxDelivery(outbox, ledger)


def _offline_spool(folder: Path, ledger: LossLedger) -> Spool:
    """The attempt's folder; one inside it when another rank of the attempt holds that."""
    try:
        return Spool(folder, max_bytes=None, ledger=ledger)
    except FolderInUseError:
        return Spool(folder / new_folder_name(), max_bytes=None, ledger=ledger)
