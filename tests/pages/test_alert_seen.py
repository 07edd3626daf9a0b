"""The figures of an alert show the same around its onset however long the run is."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bifurk_service.pages import statistic_courses
from bifurk_service.pages.alert_seen import seen_by, window
from bifurk_service.pages.courses import CourseCache
from bifurk_service.pages.views import AlertView
from bifurk_service.pipeline.condensing import condense_due
from bifurk_service.store.models import StoredAlert
from tests.database import fresh_database
from tests.written_run import WrittenRun


def test_of_a_long_run_all_is_shown_around_the_onset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = fresh_database(tmp_path)
    run = WrittenRun(database)
    run.judge(range(300))
    condense_due(database, most_seconds=60)
    alert = StoredAlert(
        run_id=run.id,
        kind="regime_shift",
        statistic="std",
        tensors=[{"id": one, "branch": None} for one in run.tensors],
        onset_first_step=1_480,
        detected_step=1_520,
    )
    request: Any = SimpleNamespace(
        app=SimpleNamespace(state=SimpleNamespace(courses=CourseCache()))
    )
    with database.read() as session:
        whole = seen_by(request, session, alert, AlertView())
        monkeypatch.setattr(statistic_courses, "MOST_POINTS", 20)
        long = seen_by(request, session, alert, AlertView())
    around = [
        window(np.unique(np.concatenate([c.steps for c in s.affected])), alert)
        for s in (whole, long)
    ]
    assert around[0] == around[1]
    for every, few in zip(whole.affected, long.affected, strict=True):
        assert len(few.steps) < len(every.steps) / 1.5
        for one, other in ((every, few), (few, every)):
            near = (one.steps >= around[0][0]) & (one.steps <= around[0][1])
            assert set(one.steps[near]) <= set(other.steps)
    database.close()
