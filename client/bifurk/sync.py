"""Sends what folders hold: an offline run's record, or what a process left in its spool.

Running it again goes on where it stopped: what arrived is deleted, or, when it is kept, the
server answers that it has it already.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bifurk.folder_holds import FolderHolds
from bifurk.folder_lock import FolderInUseError
from bifurk.readdressing import Readdressing
from bifurk.record import TornRecordError, read_record
from bifurk.retry import (
    Backoff,
    Verdict,
    outcome,
    problem_text,
    retry_after_seconds,
    shut_advice,
    verdict,
)
from bifurk.sender import REQUEST_SECONDS
from bifurk.side_by_side import Folders, in_step, together
from bifurk.spool_folder import is_own, recorded_target, records, remove_emptied
from bifurk.transport import Request, Response, Transport, TransportError

PATIENCE_SECONDS: Final = 60.0
"""Of tries for one request before giving up: the next run of the command goes on from there."""

PROGRESS_SECONDS: Final = 1.0
"""Between two lines of progress."""


class SyncStoppedError(Exception):
    """It makes no sense to go on now: no server, or it lets nothing in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What became of the requests.

    Attributes:
        sent: the server has them.
        refused: the server will never take them, or the file is damaged; still in place.
        left: not tried, or not answered; still in place.
        stopped: why the rest was not tried; None when all was.
    """

    sent: int
    refused: int
    left: int
    stopped: str | None = None

    @property
    def exit_code(self) -> int:
        """0: all sent. 1: some refused or left in a folder in use. 2: stopped early."""
        if self.stopped is not None:
            return 2
        return 1 if self.refused or self.left else 0


def sync(
    root: Path,
    *,
    connect: Callable[[str | None], Transport],
    keep: bool = False,
    own_only: bool = False,
    report: Callable[[str], None],
    patience_seconds: float = PATIENCE_SECONDS,
) -> Summary:
    """Sends all requests under a folder, each folder's in order.

    Folders of one attempt's ranks are sent side by side, so that none waits for another's parts.

    Args:
        root: the folder, with others in it or not.
        connect: given the url a folder's requests are for (None: not recorded), gives the
            transport; it raises ValueError when there is no url to use.
        keep: leave the files where they are.
        own_only: leave other users' folders alone: what they wrote would go out in this user's
            name.
        report: given lines of progress, for people.
        patience_seconds: of tries for one request.

    Raises:
        ValueError: from ``connect``. NotADirectoryError: ``root`` is not a folder.
    """
    if not root.is_dir():
        raise NotADirectoryError(f"{root} is not a folder")
    folders = {folder: records(folder) for folder in _folders(root)}
    errand = _Errand(keep=keep, report=report, patience_seconds=patience_seconds)
    total = sum(map(len, folders.values()))
    for folder in [folder for folder in folders if own_only and not is_own(folder)]:
        report(f"{folder}: belongs to another user, left alone")
        del folders[folder]
    stopped = None
    try:
        for group in together(folders):
            lines = {one: Readdressing(connect(recorded_target(one))) for one in group}
            errand.run(group, lines)
    except SyncStoppedError as stop:
        stopped = str(stop)
    sent, refused = errand.counts["sent"], errand.counts["refused"]
    return Summary(sent=sent, refused=refused, left=total - sent - refused, stopped=stopped)


def _folders(root: Path) -> Iterator[Path]:
    """All with requests in them, in the order of their names."""
    for name, inside, _ in os.walk(root):
        inside.sort()
        with contextlib.suppress(OSError):
            if records(Path(name)):
                yield Path(name)


class _Errand:
    def __init__(
        self, *, keep: bool, report: Callable[[str], None], patience_seconds: float
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._keep = keep
        self._report = report
        self._patience_seconds = patience_seconds
        self._reported_at = time.monotonic()

    def run(self, folders: Folders, transports: Mapping[Path, Transport]) -> None:
        with FolderHolds() as holds:
            free = {one: paths for one, paths in folders.items() if self._take(one, holds)}
            for folder, paths in free.items():
                self._report(f"{folder}: {len(paths)} requests")
            done: Counter[Path] = Counter()
            lost: set[Path] = set()
            for folder, path in in_step(free):
                if folder in lost or not self._take(folder, holds):
                    lost.add(folder)
                    continue
                self._one(path, transports[folder])
                done[folder] += 1
                self._progress(folder, done[folder], len(free[folder]))
            # The innermost first: ranks have theirs inside of another's.
            for folder in [] if self._keep else reversed(free):
                if folder not in lost and self._take(folder, holds):
                    remove_emptied(folder)

    def _take(self, folder: Path, holds: FolderHolds) -> bool:
        """Whether nobody else has the folder, now and until others are asked for."""
        if self._keep:
            return True
        try:
            holds.take(folder)
        except FolderInUseError:
            self._report(f"{folder}: in use by a running training, left alone")
            return False
        except FileNotFoundError:
            self._report(f"{folder}: gone meanwhile, another process has taken it over")
            return False
        except OSError as error:
            raise SyncStoppedError(
                f"{folder} cannot be changed ({error}); --keep only reads"
            ) from error
        return True

    def _one(self, path: Path, transport: Transport) -> None:
        try:
            request = read_record(path)
        except (TornRecordError, OSError) as error:
            self._refuse(path, str(error))
            return
        response = self._exchange(request, transport)
        if verdict(response.status) is Verdict.DELIVERED:
            self.counts["sent"] += 1
            if not self._keep:
                path.unlink(missing_ok=True)
            return
        if verdict(response.status) is Verdict.SHUT:
            raise SyncStoppedError(f"{shut_advice(response.status)}: {problem_text(response)}")
        self._refuse(path, f"refused ({response.status}): {problem_text(response)}")

    def _exchange(self, request: Request, transport: Transport) -> Response:
        """Tries until an answer settles the request, or for as long as there is patience.

        What is refused as damaged to the last is refused: the rest must not wait for it.
        """
        end = time.monotonic() + self._patience_seconds
        backoff = Backoff()
        while True:
            asked = 0.0
            refused: Response | None = None
            try:
                response = transport.send(request, deadline_seconds=REQUEST_SECONDS)
            except TransportError as error:
                problem = str(error)
            else:
                if outcome(response) is not Verdict.RETRY:
                    return response
                problem = f"status {response.status}: {problem_text(response)}"
                asked = retry_after_seconds(response)
                if verdict(response.status) is Verdict.REJECTED:
                    refused = response
            pause = backoff.next_seconds(at_least=asked)
            if time.monotonic() + pause > end:
                if refused is not None:
                    return refused
                raise SyncStoppedError(f"the server does not take it now: {problem}")
            time.sleep(pause)

    def _refuse(self, path: Path, problem: str) -> None:
        self.counts["refused"] += 1
        self._report(f"{path}: {problem}")

    def _progress(self, folder: Path, done: int, total: int) -> None:
        now = time.monotonic()
        if done == total or now - self._reported_at >= PROGRESS_SECONDS:
            self._reported_at = now
            self._report(f"{folder}: {done} of {total}")
