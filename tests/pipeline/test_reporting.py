"""Whom a report is told to: a part is quiet only while its parent speaks for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bifurk_service.domain import AlertState, Severity
from bifurk_service.notify.alerts_file import Match, Rule
from bifurk_service.notify.rules import Policy
from bifurk_service.pipeline.reporting import report_alert
from bifurk_service.store.alerts import move_alert
from bifurk_service.store.models import Attempt
from tests.database import fresh_database
from tests.notify.alerts import alert
from tests.pipeline.outbox import Outbox

RULES = (
    Rule(name="quiet", action="silence", match=Match(kind=("quiet",))),
    Rule(name="the rest", action="notify", channels=("ops",)),
)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    database = fresh_database(tmp_path)
    yield Outbox(database)
    database.close()


def report(outbox: Outbox, fingerprint: str, **changed: Any) -> int | None:
    """The id of the alert where it is told."""
    with outbox.database.write() as session:
        attempt = session.get_one(Attempt, 1)
        made = alert("w", fingerprint=fingerprint, **changed)
        news = report_alert(session, attempt, made, Policy(rules=RULES), now=0.0)
        return None if news is None else news.id


def test_a_part_is_quiet_while_its_parent_is_told(outbox: Outbox) -> None:
    whole = report(outbox, "whole")
    assert whole is not None
    assert report(outbox, "part", parent="whole") is None
    with outbox.database.write() as session:
        move_alert(session, whole, AlertState.ACKNOWLEDGED, who="ada", now=1.0)
    assert report(outbox, "late", parent="whole") is None
    assert outbox.states == [("ops", "raised", "waiting")]


def test_a_part_of_what_is_silenced_is_told_by_itself(outbox: Outbox) -> None:
    assert report(outbox, "whole", kind="quiet") is None
    assert report(outbox, "part", parent="whole") is not None
    assert report(outbox, "quiet part", kind="quiet", parent="whole") is None
    assert outbox.states == [("ops", "raised", "waiting")]


def test_a_part_of_what_is_resolved_is_told_by_itself_when_it_comes_or_gets_graver(
    outbox: Outbox,
) -> None:
    whole = report(outbox, "whole")
    assert whole is not None
    with outbox.database.write() as session:
        move_alert(session, whole, AlertState.RESOLVED, who="ada", now=1.0)
    assert report(outbox, "part", parent="whole") is not None
    assert report(outbox, "part", parent="whole") is None
    assert report(outbox, "part", parent="whole", severity=Severity.CRITICAL) is not None


def test_a_part_of_what_nobody_reported_is_told_by_itself(outbox: Outbox) -> None:
    assert report(outbox, "part", parent="nowhere") is not None
