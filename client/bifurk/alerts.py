"""Alerts as the server's answers tell them: checked, compared with what is known, kept."""

from __future__ import annotations

import logging
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bifurk.wire.limits import MAX_INTEGER, MAX_NAME_CHARACTERS, MAX_TEXT_CHARACTERS

SEVERITIES: Final = ("info", "warning", "critical")
STATES: Final = ("firing", "acknowledged", "resolved")

MOST_ALERTS: Final = 50
"""Of one answer; the rest is not read."""
MOST_TENSORS: Final = 16
MOST_KNOWN: Final = 200
"""Alerts remembered; those without news for longest go first."""

_KIND: Final = re.compile(r"[a-z0-9_.-]{1,64}")
_PATH: Final = re.compile(r"/[A-Za-z0-9/_-]{1,200}")
_log = logging.getLogger("bifurk")


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Something the server found in this attempt, as it stood when the server answered.

    Attributes:
        id: the server's number. fingerprint: the same for the same event in the same attempt.
        kind: the detector's word, ``regime_shift`` for instance.
        severity: ``info``, ``warning`` or ``critical``.
        state: ``firing``, ``acknowledged`` or ``resolved``.
        sentence: what happened, for people; one line.
        detected_step: of the snapshot it was seen at.
        onset_first_step, onset_last_step: between which steps it began.
        tensors: names of at most 16 tensors, the first to begin.
        url: its page; None where the server's address is not known.
    """

    id: int
    fingerprint: str
    kind: str
    severity: str
    state: str
    sentence: str
    detected_step: int
    onset_first_step: int
    onset_last_step: int
    tensors: tuple[str, ...]
    url: str | None = None

    @property
    def firing(self) -> bool:
        """Whether nobody has acknowledged or resolved it."""
        return self.state == "firing"


class AlertBook:
    """What is known of an attempt's alerts; written on the sender's thread, read on any.

    Args:
        url: the server's address; None where it is not known.
    """

    def __init__(self, url: str | None = None) -> None:
        self._url = None if url is None else url.rstrip("/")
        self._lock = threading.RLock()
        self._known: OrderedDict[str, Alert] = OrderedDict()
        self._page: str | None = None

    def read(self, answer: Mapping[str, Any]) -> list[Alert]:
        """Takes over what an answer says; returns the alerts that are news, oldest change first.

        An alert that cannot be understood is left out.
        """
        if self._url is not None and _is_path(answer.get("page")):
            self._page = f"{self._url}{answer['page']}"
        listed = answer.get("alerts")
        alerts = [self._alert(told) for told in (listed if isinstance(listed, list) else [])]
        with self._lock:
            # The server names the newest change first.
            found = [alert for alert in alerts[:MOST_ALERTS][::-1] if alert is not None]
            return [alert for alert in found if self._keep(alert)]

    @property
    def known(self) -> tuple[Alert, ...]:
        """The alerts as last heard of, the newest news last."""
        with self._lock:
            return tuple(self._known.values())

    @property
    def page(self) -> str | None:
        """The run's page, once the server has told it."""
        return self._page

    def _keep(self, alert: Alert) -> bool:
        """Whether it is news: another severity or state than that known by its fingerprint."""
        before = self._known.get(alert.fingerprint)
        self._known[alert.fingerprint] = alert
        if before is not None and (before.severity, before.state) == (alert.severity, alert.state):
            return False
        self._known.move_to_end(alert.fingerprint)
        while len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        return True

    def _alert(self, told: object) -> Alert | None:
        try:
            return _alert(told, self._url)
        except (ValueError, TypeError, KeyError) as error:
            _log.debug("an alert of the server's cannot be read: %r", error)
            return None


def _alert(told: Any, url: str | None) -> Alert:
    if told["severity"] not in SEVERITIES or told["state"] not in STATES:
        raise ValueError(f"severity or state is none of ours: {told!r:.200}")
    if not _KIND.fullmatch(told["kind"]):
        raise ValueError(f"expected a detector's word as kind, got {told['kind']!r:.80}")
    linked = url is not None and _is_path(told.get("path"))
    return Alert(
        id=_whole(told["id"]),
        fingerprint=_line(told["fingerprint"], MAX_NAME_CHARACTERS),
        kind=told["kind"],
        severity=told["severity"],
        state=told["state"],
        sentence=_line(told["sentence"], MAX_TEXT_CHARACTERS),
        detected_step=_whole(told["detected_step"]),
        onset_first_step=_whole(told["onset_first_step"]),
        onset_last_step=_whole(told["onset_last_step"]),
        tensors=tuple(_line(name, MAX_NAME_CHARACTERS) for name in told["tensors"][:MOST_TENSORS]),
        url=f"{url}{told['path']}" if linked else None,
    )


def _line(text: object, most: int) -> str:
    """Text of one line, printable, cut to so many characters."""
    if not isinstance(text, str) or not text:
        raise TypeError(f"text is due, got {text!r:.80}")
    return "".join(c if c.isprintable() else " " for c in text[:most])


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_INTEGER:
        raise TypeError(f"a whole number of at least 0 is due, got {value!r:.80}")
    return value


def _is_path(path: object) -> bool:
    return isinstance(path, str) and _PATH.fullmatch(path) is not None
