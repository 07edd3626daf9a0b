"""A database with a run and alerts of it, and the outbox looked at."""

from __future__ import annotations

from sqlalchemy import select

from bifurk_service.store.deliveries import enqueue
from bifurk_service.store.engine import Database
from bifurk_service.store.models import Attempt, Delivery, Project, Run, StoredAlert


class Outbox:
    """Puts alerts and messages in, and says what became of them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._count = 0
        with database.write() as session:
            session.add(Project(id=1, slug="gpt", created_at=0.0))
            session.flush()
            session.add(Run(id=1, project_id=1, slug="small", created_at=0.0, updated_at=0.0))
            session.flush()
            session.add(
                Attempt(
                    id=1,
                    run_id=1,
                    slug="first",
                    state="running",
                    created_at=0.0,
                    seen_at=0.0,
                    cursor=-1,
                    dropped={},
                    lost_sequences=[],
                    optimizer="",
                    optimizer_settings={},
                    client={},
                )
            )

    def alert(self, *, kind: str = "regime_shift", severity: str = "warning") -> int:
        """A firing alert's id."""
        self._count += 1
        with self.database.write() as session:
            alert = StoredAlert(
                run_id=1, attempt_id=1, fingerprint=f"f{self._count}", kind=kind, severity=severity,
                state="firing", statistic="std", detected_step=100, detected_sequence=10,
                onset_first_step=90, onset_last_step=100, sentence="small: std rose.",
                tensors=[{"name": "h.0.weight"}], explained_by=[], evidence={}, created_at=0.0,
                updated_at=0.0,
            )  # fmt: skip
            session.add(alert)
            session.flush()
            return alert.id

    def put(self, alert_id: int, *channels: str, reason: str = "raised", now: float = 0.0) -> None:
        """Writes messages down."""
        with self.database.write() as session:
            alert = session.get_one(StoredAlert, alert_id)
            if reason == "resolved":
                alert.state, alert.resolved_at = "resolved", now
            if reason == "graver":
                alert.severity = "critical"
            enqueue(session, alert, channels, reason=reason, now=now)

    @property
    def rows(self) -> list[Delivery]:
        with self.database.read() as session:
            return list(session.scalars(select(Delivery).order_by(Delivery.id)))

    @property
    def states(self) -> list[tuple[str, str, str]]:
        """Channel, reason and state of every message, in order."""
        return [(row.channel, row.reason, row.state) for row in self.rows]
