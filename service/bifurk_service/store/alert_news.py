"""An attempt's newest alerts, as answers to its client carry them.

Answers go out with every snapshot, and an alert may name a thousand tensors: what was read of one
is kept until the alert changes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from bifurk_service.store.models import StoredAlert

MOST_ALERTS: Final = 50
MOST_TENSORS: Final = 16
"""Of an alert, the first to begin."""
MOST_SENTENCE_CHARACTERS: Final = 1_000
MOST_BYTES: Final = 48 << 10
"""Of the alerts of one answer, as JSON: the newest are told."""
MOST_KEPT: Final = 2_000

Told: TypeAlias = dict[str, Any]
Version: TypeAlias = tuple[int, float]
"""An alert's id, and when it last changed."""

_COLUMNS: Final = (
    StoredAlert.id,
    StoredAlert.updated_at,
    StoredAlert.fingerprint,
    StoredAlert.kind,
    StoredAlert.severity,
    StoredAlert.state,
    StoredAlert.sentence,
    StoredAlert.detected_step,
    StoredAlert.onset_first_step,
    StoredAlert.onset_last_step,
    StoredAlert.tensors,
)
_VERSIONS: Final = (
    select(StoredAlert.id, StoredAlert.updated_at)
    .where(
        StoredAlert.attempt_id == bindparam("attempt"),
        StoredAlert.parent == "",
        StoredAlert.superseded.is_(False),
        StoredAlert.silenced_by.is_(None),
    )
    .order_by(StoredAlert.updated_at.desc(), StoredAlert.id.desc())
    .limit(MOST_ALERTS)
)


class AlertNews:
    """Reads the newest alerts of attempts; one for all threads that answer."""

    def __init__(self) -> None:
        self._kept: dict[Version, tuple[Told, int]] = {}

    def of(self, session: Session, attempt_id: int) -> list[Told]:
        """The alerts that changed last, at most ``MOST_ALERTS``, the newest change first.

        Those that are parts of others, silenced, or superseded by a later attempt are left out.
        """
        versions = _versions(session, attempt_id)
        # Replaced, never changed: another thread may be reading the one before.
        kept = self._kept
        found = {version: kept[version] for version in versions if version in kept}
        unread = [version for version in versions if version not in found]
        if unread:
            read = {version: (told, _size(told)) for version, told in _read(session, unread)}
            self._kept = read if len(kept) + len(read) > MOST_KEPT else {**kept, **read}
            found |= read
        return _within(MOST_BYTES, [found[version] for version in versions if version in found])


def _versions(session: Session, attempt_id: int) -> list[Version]:
    """From the index alone: its columns are those of this query, in this order."""
    rows = session.execute(_VERSIONS, {"attempt": attempt_id})
    return [(alert_id, updated_at) for alert_id, updated_at in rows]


def _read(session: Session, versions: Sequence[Version]) -> list[tuple[Version, Told]]:
    ids = [alert_id for alert_id, _ in versions]
    rows = session.execute(select(*_COLUMNS).where(StoredAlert.id.in_(ids)))
    return [((row.id, row.updated_at), _told(row)) for row in rows]


def _told(row: Any) -> Told:
    return {
        "id": row.id,
        "fingerprint": row.fingerprint,
        "kind": row.kind,
        "severity": row.severity,
        "state": row.state,
        "sentence": row.sentence[:MOST_SENTENCE_CHARACTERS],
        "detected_step": row.detected_step,
        "onset_first_step": row.onset_first_step,
        "onset_last_step": row.onset_last_step,
        "tensors": [tensor["name"] for tensor in row.tensors[:MOST_TENSORS]],
        "path": f"/alerts/{row.id}",
    }


def _size(told: Told) -> int:
    return len(json.dumps(told, ensure_ascii=False).encode())


def _within(bytes_left: int, sized: Sequence[tuple[Told, int]]) -> list[Told]:
    kept = []
    for told, size in sized:
        bytes_left -= size
        if bytes_left < 0:
            break
        kept.append(told)
    return kept
