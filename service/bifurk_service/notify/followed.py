"""The alerts file while the server runs: taken up again when it changes, if it is right."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from bifurk_service.domain import Alert
from bifurk_service.errors import SetupError
from bifurk_service.notify.rules import Policy, Ruling

log = logging.getLogger("bifurk.service")


class FollowedPolicy:
    """The policy of a file as it was last right.

    Args:
        path: of the alerts file; None: no rules and no channels.

    Raises:
        SetupError: the file is wrong at the start, when nothing older can stand in for it.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._stamp = self._seen = _stamp(path)
        self._told: str | None = None
        self.current = Policy.load(path)

    def rule(
        self,
        alert: Alert,
        *,
        project: str,
        run: str,
        seconds_since_told: Callable[[str], float | None],
    ) -> Ruling:
        """What the policy in force says of an alert that is raised now."""
        return self.current.rule(
            alert, project=project, run=run, seconds_since_told=seconds_since_told
        )

    def refresh(self) -> bool:
        """Takes the file up where it has changed; says whether the policy is another now.

        Not before it has been the same at two looks: half a file that somebody is writing, or none
        of it yet, may be right too. A file that is wrong, or cannot be read now, is logged once and
        tried again the next time; what was in force stays so.
        """
        before, self._seen = self._seen, _stamp(self._path)
        if self._seen == self._stamp:
            self._told = None
            return False
        if self._seen != before:
            return False
        try:
            self.current = Policy.load(self._path)
        except SetupError as error:
            self._tell(error.detail)
            return False
        self._stamp, self._told = self._seen, None
        log.info("the alerts file has been taken up again")
        return True

    def _tell(self, detail: str) -> None:
        if detail != self._told:
            log.error("the alerts file is wrong, the rules from before hold: %s", detail)
        self._told = detail


def _stamp(path: Path | None) -> tuple[int, int, int] | None:
    """What changes with a file; None where there is none."""
    if path is None:
        return None
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
