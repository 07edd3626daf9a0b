"""Detectors over the stored series of a run: what would have been raised."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from bifurk_service.detect.base import AnyWatch
from bifurk_service.detect.judge import Judge
from bifurk_service.detect.registry import WATCHES
from bifurk_service.domain import Alert
from bifurk_service.errors import ConflictError
from bifurk_service.pipeline.judges import JudgingInput, judge_of, judging_input
from bifurk_service.store.alert_keeping import keep_alert
from bifurk_service.store.alert_lists import alerts_of
from bifurk_service.store.alerts import resolve_returned, silence
from bifurk_service.store.engine import Database, Session
from bifurk_service.store.imports import IMPORT
from bifurk_service.store.models import Attempt
from bifurk_service.store.runs import attempts_of, run_of
from bifurk_service.store.snapshots import judged_snapshots
from bifurk_service.store.thinned_ranges import thinned_steps

KEPT_BY: Final = "replay"
"""Stands for the rule that keeps them from people."""
OVER: Final = "the series came back within the replay"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What a replay of one attempt came to.

    Attributes:
        alerts: as they stood at the end, in order of their beginning.
        returned: fingerprints of those whose series came back.
        snapshots: how many were judged.
    """

    attempt_id: int
    alerts: tuple[Alert, ...]
    returned: frozenset[str]
    snapshots: int


def replay_run(
    database: Database,
    run_id: int,
    *,
    watches: Sequence[AnyWatch] = WATCHES,
    first_step: int = 0,
    last_step: int | None = None,
) -> list[Replayed]:
    """Judges the stored snapshots of every attempt of a run, in order, from nothing.

    Args:
        database: read, never written. run_id: of the run.
        watches: the detectors. first_step, last_step: of the snapshots, both included.

    Raises:
        ConflictError: some of these snapshots are thinned.
    """
    with database.read() as session:
        attempt_ids = [attempt.id for attempt in attempts_of(session, run_id)]
    return [
        _replay(database, attempt_id, watches, first_step, last_step) for attempt_id in attempt_ids
    ]


def inputs_of(
    database: Database,
    attempt_id: int,
    judge: Judge,
    *,
    after: int = -1,
    first_step: int = 0,
    last_step: int | None = None,
) -> Iterator[JudgingInput]:
    """What a judge was given of an attempt's judged snapshots, in order.

    Each must be given to the judge before the next is asked for: it knows the tensors so far.

    Args:
        database: to read from. attempt_id: of the attempt. judge: that is to see them.
        after: the sequence behind which they begin.
        first_step, last_step: of the snapshots, both included.
    """
    with database.read() as session:
        imported = session.get_one(Attempt, attempt_id).source == IMPORT
        snapshots = judged_snapshots(session, attempt_id, after=after)
    for snapshot in snapshots:
        if snapshot.step < first_step or (last_step is not None and snapshot.step > last_step):
            continue
        with database.read() as session:
            one = judging_input(session, snapshot, known=judge.tensor_ids, imported=imported)
        yield one


def fresh_judge(
    database: Database, attempt_id: int, *, watches: Sequence[AnyWatch] = WATCHES
) -> Judge:
    """A judge of an attempt's run that has seen nothing yet."""
    with database.read() as session:
        return judge_of(
            session, run_of(session, session.get_one(Attempt, attempt_id)), watches=watches
        )


def keep_replayed(session: Session, run_id: int, found: Sequence[Replayed], *, now: float) -> int:
    """Stores the alerts of a replay that the run does not have yet; tells nobody.

    Args:
        session: to write with. run_id: the run. found: its replay. now: seconds since 1970 UTC.

    Returns:
        How many were stored.
    """
    known = {(alert.attempt_id, alert.fingerprint) for alert in alerts_of(session, run_id)}
    kept = 0
    for replayed in found:
        attempt = session.get_one(Attempt, replayed.attempt_id)
        new = [a for a in replayed.alerts if (attempt.id, a.fingerprint) not in known]
        for alert in new:
            kept_alert = keep_alert(session, attempt, alert, now=now).alert
            silence(session, kept_alert, KEPT_BY, now=now)
        # No detector follows these from here on: what came back is over, once and for all.
        over = [alert.fingerprint for alert in new if alert.fingerprint in replayed.returned]
        resolve_returned(session, attempt, over, note=OVER, now=now)
        kept += len(new)
    return kept


def _check_whole(
    database: Database, attempt_id: int, first_step: int, last_step: int | None
) -> None:
    with database.read() as session:
        gone = thinned_steps(session, attempt_id, first_step=first_step, last_step=last_step)
        slug = session.get_one(Attempt, attempt_id).slug
    if gone is not None:
        raise ConflictError(
            f"snapshots of attempt {slug} from step {gone.first} to step {gone.last} are thinned: "
            f"what detectors were given there is gone; replay from step {gone.last + 1} on"
        )


def _replay(
    database: Database,
    attempt_id: int,
    watches: Sequence[AnyWatch],
    first_step: int,
    last_step: int | None,
) -> Replayed:
    _check_whole(database, attempt_id, first_step, last_step)
    judge = fresh_judge(database, attempt_id, watches=watches)
    alerts: dict[str, Alert] = {}
    returned: set[str] = set()
    snapshots = 0
    for one in inputs_of(database, attempt_id, judge, first_step=first_step, last_step=last_step):
        verdict = one.given_to(judge)
        snapshots += 1
        alerts |= {alert.fingerprint: alert for alert in verdict.alerts}
        returned = (returned - {alert.fingerprint for alert in verdict.alerts}) | {
            *verdict.returned
        }
    # Again: what was read last may have been thinned while the first was judged.
    _check_whole(database, attempt_id, first_step, last_step)
    return Replayed(
        attempt_id=attempt_id,
        alerts=tuple(alerts.values()),
        returned=frozenset(returned),
        snapshots=snapshots,
    )
