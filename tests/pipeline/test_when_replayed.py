"""Replays, and evidence, say so where what they read goes while they read it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, update

from bifurk_service.errors import ConflictError
from bifurk_service.replay import stored
from bifurk_service.replay.evidence import evidence_of
from bifurk_service.replay.stored import replay_run
from bifurk_service.store.engine import Session
from bifurk_service.store.models import Attempt, Run, Snapshot, StoredAlert, Thinning
from tests.pipeline.baselined import NOW, STEP, Runs


@pytest.fixture
def attempt(runs: Runs) -> Attempt:
    """The one attempt of a run of five snapshots."""
    runs.judge("short", range(0, 5 * STEP, STEP))
    with runs.database.read() as session:
        query = select(Attempt).join(Run, Run.id == Attempt.run_id).where(Run.slug == "short")
        return session.scalars(query).one()


def test_what_is_thinned_while_it_is_replayed_is_no_verdict(
    runs: Runs, attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    def thin(session: Session) -> None:
        gone = (Snapshot.attempt_id == attempt.id) & (Snapshot.step == 3 * STEP)
        session.execute(update(Snapshot).where(gone).values(thinned=1))

    met = meanwhile(runs, monkeypatch, thin)
    with pytest.raises(ConflictError, match=f"from step {3 * STEP} to step {3 * STEP} are thinned"):
        replay_run(runs.database, attempt.run_id)
    assert len(met) == 5
    [replayed] = replay_run(runs.database, attempt.run_id, first_step=4 * STEP)
    assert replayed.snapshots == 1


def test_what_is_thinned_while_evidence_is_made_is_to_be_asked_for_again(
    runs: Runs, attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    with runs.database.write() as session:
        alert = StoredAlert(
            run_id=attempt.run_id, attempt_id=attempt.id, fingerprint="f", kind="regime_shift",
            severity="warning", state="firing", statistic="std", detected_step=4 * STEP,
            detected_sequence=4, onset_first_step=0, onset_last_step=STEP, sentence="short: rose.",
            tensors=[{"id": 1}], explained_by=[], evidence={}, created_at=NOW, updated_at=NOW,
        )  # fmt: skip
        session.add(alert)

    def thin(session: Session) -> None:
        session.add(
            Thinning(attempt_id=attempt.id, reached=[8, 0, 0], sequence=8, definition="", state=b"")
        )

    meanwhile(runs, monkeypatch, thin)
    with pytest.raises(ConflictError, match="was thinned while its evidence was made: ask again"):
        evidence_of(runs.database, alert.id)


def meanwhile(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, happens: Callable[[Session], None]
) -> list[int]:
    """Steps that are read for judges; as the second is, something happens."""
    read = stored.judging_input
    met: list[int] = []

    def spied(session: Session, snapshot: Snapshot, **given: Any) -> Any:
        met.append(snapshot.step)
        if len(met) == 2:
            with runs.database.write() as other:
                happens(other)
        return read(session, snapshot, **given)

    monkeypatch.setattr(stored, "judging_input", spied)
    return met
