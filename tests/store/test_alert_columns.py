"""Alerts of an earlier version live on: up to this version's columns, and down again."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from sqlalchemy import text

from bifurk_service.store.engine import Database, alembic_config
from bifurk_service.store.models import StoredAlert

BEFORE = "20261126_all_statistics"
PROJECT = "INSERT INTO projects (id, slug, created_at) VALUES (1, 'p', 0)"
RUN = "INSERT INTO runs (id, project_id, slug, created_at, updated_at) VALUES (1, 1, 'run', 0, 0)"
ATTEMPT = (
    "INSERT INTO attempts (id, run_id, slug, state, created_at, seen_at, cursor, dropped, "
    "lost_sequences, optimizer, optimizer_settings, client) "
    "VALUES (1, 1, 'first', 'running', 0, 0, -1, '{}', '[]', '', '{}', '{}')"
)
ALERT = (
    "INSERT INTO alerts (id, run_id, attempt_id, fingerprint, kind, severity, state, statistic, "
    "detected_step, detected_sequence, onset_first_step, onset_last_step, sentence, tensors, "
    "explained_by, evidence, created_at, updated_at) "
    "VALUES (1, 1, 1, 'event', 'non_finite', 'critical', 'firing', 'std', 10, 1, 0, 10, "
    "'run: it broke', '[]', '[]', '{}', 5, 6)"
)


def test_an_alert_of_an_earlier_version_stands_alone_and_open_after_the_upgrade(
    tmp_path: Path,
) -> None:
    database = Database(f"sqlite:///{tmp_path / 'old.db'}")
    command.upgrade(alembic_config(database.url), BEFORE)
    with database.engine.begin() as connection:
        for row in (PROJECT, RUN, ATTEMPT, ALERT):
            connection.execute(text(row))
    database.upgrade()
    with database.read() as session:
        alert = session.get_one(StoredAlert, 1)
    assert (alert.state, alert.parent, alert.silenced_by, alert.superseded) == (
        "firing", "", None, False,
    )  # fmt: skip
    assert (alert.resolved_at, alert.false_alarms_per_10000) == (None, None)
    command.downgrade(alembic_config(database.url), BEFORE)
    with database.engine.connect() as connection:
        assert connection.execute(text("SELECT sentence FROM alerts")).all() == [("run: it broke",)]
    database.close()
