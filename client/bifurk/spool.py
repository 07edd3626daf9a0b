"""The durable outbox: a folder of requests that outlives the process.

``open_spool`` is for a process that sends: its own folder beside those of other processes,
after taking over what dead ones left for the same server. ``Spool`` is one such folder.
"""

from __future__ import annotations

import contextlib
import errno
import logging
from pathlib import Path
from typing import Final

from bifurk.folder_lock import FolderLock
from bifurk.losses import LossLedger
from bifurk.outbox import Entry
from bifurk.record import (
    SUFFIX,
    TornRecordError,
    frames,
    make_folder,
    read_record,
    sync_folder,
    write_record,
)
from bifurk.spool_folder import (
    LOCK_NAME,
    NUMBER_DIGITS,
    TARGET_NAME,
    is_own,
    new_folder_name,
    number_of,
    recorded_target,
    records,
    remove_emptied,
)
from bifurk.transport import Request
from bifurk.waiting import MAX_ENTRIES, Slot, WaitingLine

FULL_ERRNOS: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
PASSING_ERRNOS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR})
"""The process is short of something just now; the file itself may be sound."""
DISK_ERRNOS: Final = frozenset({errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN})
"""What a network filesystem answers while its server is away, and a dying disk for good."""
DISK_TRIES: Final = 60
"""Of reads that end so, a second apart: the restart of a file server is waited out, no more."""

logger = logging.getLogger("bifurk")


def open_spool(parent: Path, *, target: str, max_bytes: int, ledger: LossLedger) -> Spool:
    """This process's own folder under ``parent``, with what dead processes left for ``target``.

    Args:
        parent: made with mode 0700 when it is not there; shared by processes.
        target: url of the server; only left-overs for the same one are taken over.
        max_bytes: of the folder; the oldest are dropped first.
        ledger: told of every drop.

    Raises:
        OSError: the folder cannot be made, written or locked.
    """
    make_folder(parent)
    folder = parent / new_folder_name()
    try:
        spool = Spool(folder, max_bytes=max_bytes, ledger=ledger, target=target)
    except OSError:
        remove_emptied(folder)
        raise
    for leftover in sorted(parent.iterdir()):
        if leftover != folder and recorded_target(leftover) == target:
            with contextlib.suppress(OSError):
                _adopt_own(spool, leftover)
    return spool


class Spool:
    """One folder of requests, held by one process; see ``Outbox``.

    Args:
        folder: made with mode 0700 when it is not there.
        max_bytes: of all files together, the oldest dropped first and counted as
            ``spool_full``; None for no bound on bytes or count (the offline record).
        ledger: told of every drop.
        target: url of the server, recorded so that another process may take over.

    Raises:
        FolderInUseError: another process holds the folder.
        OSError: it cannot be made, written or locked.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int | None,
        ledger: LossLedger,
        target: str | None = None,
    ) -> None:
        self.folder = folder
        self._ledger = ledger
        self._failing = False
        self._troubled: Slot | None = None
        self._tries = 0
        max_entries = None if max_bytes is None else MAX_ENTRIES
        self._line = WaitingLine(max_bytes=max_bytes, max_entries=max_entries)
        make_folder(folder)
        self._lock = FolderLock(folder / LOCK_NAME)
        try:
            # Only a folder that names its target is ever adopted, so the lock comes first.
            if target is not None:
                write_record(folder / TARGET_NAME, (target.encode(),))
            for path in records(folder):
                self._enlist(path)
        except OSError:
            self._lock.release()
            raise

    def append(self, request: Request) -> bool:
        """Writes a request durably.

        Returns:
            False when it was dropped, which is counted: ``spool_full`` (larger than the bound),
            ``disk_full`` or ``spool_unwritable``.
        """
        content = frames(request)
        slot = self._admit(sum(map(len, content)), sequence=request.sequence)
        if slot is None:
            return False
        try:
            write_record(self._path(slot), content)
        except OSError as error:
            self._line.withdraw(slot)
            self._write_failed(error, request.sequence)
            return False
        self._failing = False
        self._line.publish(slot)
        return True

    def oldest(self) -> Entry | None:
        """See ``Outbox.oldest``; files that cannot be read are counted and skipped."""
        while (slot := self._line.lend()) is not None:
            try:
                request = read_record(self._path(slot))
            except TornRecordError as error:
                logger.warning("a spooled request is damaged and left out: %s", error)
                self._drop(slot, "spool_torn")
            except OSError as error:
                if self._may_pass(slot, error):
                    self._line.give_back()
                    return None
                self._leave(slot, error)
            else:
                self._troubled = None
                return Entry(slot=slot, request=request)
        return None

    def release(self, entry: Entry) -> None:
        """See ``Outbox.release``."""
        del entry
        self._line.give_back()

    def discard(self, entry: Entry) -> None:
        """See ``Outbox.discard``."""
        self._line.remove(entry.slot)
        self._unlink(entry.slot)

    def pending(self) -> int:
        """See ``Outbox.pending``."""
        return len(self._line)

    def adopt(self, leftover: Path) -> int:
        """Moves a dead process's requests here, before this process's own.

        Returns:
            How many came.

        Raises:
            FolderInUseError: its process lives. OSError: it cannot be read or locked.
        """
        lock = FolderLock(leftover / LOCK_NAME, create=False)
        try:
            paths = records(leftover)
            for path in paths:
                self._enlist(path)
            sync_folder(self.folder)
            remove_emptied(leftover)
        finally:
            lock.release()
        if paths:
            logger.info("%d requests of an earlier process will be sent first", len(paths))
        return len(paths)

    def close(self) -> None:
        """Lets go of the folder; removes it when nothing is left in it, nor being written."""
        if not self._line.entries:
            remove_emptied(self.folder)
        self._lock.release()

    def _enlist(self, path: Path) -> None:
        """Takes a file into the line, under this folder's next number when it comes from afar.

        Its snapshot is of another process's attempt, so its loss is not counted by sequence.
        """
        slot = self._admit(path.stat().st_size, number=number_of(path))
        if slot is None:
            path.unlink()
            return
        try:
            path.replace(self._path(slot))
        except OSError:
            self._line.withdraw(slot)
            raise
        self._line.publish(slot)

    def _admit(
        self, size_bytes: int, *, sequence: int | None = None, number: int | None = None
    ) -> Slot | None:
        admission = self._line.admit(size_bytes, sequence=sequence, number=number)
        for slot in admission.evicted:
            self._unlink(slot)
            self._ledger.drop("spool_full", slot.sequence)
        if admission.slot is None:
            self._ledger.drop("spool_full", sequence)
        return admission.slot

    def _drop(self, slot: Slot, reason: str) -> None:
        self._line.remove(slot)
        self._unlink(slot)
        self._ledger.drop(reason, slot.sequence)

    def _may_pass(self, slot: Slot, error: OSError) -> bool:
        if slot != self._troubled:
            self._troubled, self._tries = slot, 0
        self._tries += 1
        return error.errno in PASSING_ERRNOS or (
            error.errno in DISK_ERRNOS and self._tries < DISK_TRIES
        )

    def _leave(self, slot: Slot, error: OSError) -> None:
        """Passes over a file, which stays where it is: a later process may be able to read it."""
        logger.warning("a spooled request cannot be read and is passed over: %s", error)
        self._line.remove(slot)
        self._ledger.drop("spool_unreadable", slot.sequence)

    def _write_failed(self, error: OSError, sequence: int | None) -> None:
        reason = "disk_full" if error.errno in FULL_ERRNOS else "spool_unwritable"
        self._ledger.drop(reason, sequence)
        if not self._failing:
            logger.warning("the spool cannot be written, snapshots are dropped: %s", error)
        self._failing = True

    def _path(self, slot: Slot) -> Path:
        return self.folder / f"{slot.number:0{NUMBER_DIGITS}d}{SUFFIX}"

    def _unlink(self, slot: Slot) -> None:
        with contextlib.suppress(OSError):
            self._path(slot).unlink()


def _adopt_own(spool: Spool, leftover: Path) -> None:
    if is_own(leftover):
        spool.adopt(leftover)
    else:
        logger.warning("%s belongs to another user and is left alone", leftover)
