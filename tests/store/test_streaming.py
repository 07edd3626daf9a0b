"""Downloads read a bounded stretch at a time, and tell what reading everything tells."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bifurk_service.store import streaming
from bifurk_service.store.imports import imported_series
from bifurk_service.store.series import statistic_series
from bifurk_service.store.streaming import step_ranges, streamed_series
from tests.database import fresh_database
from tests.store.outlined import OWN, write_imports
from tests.written_run import WrittenRun


def test_parts_are_short_and_together_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "SNAPSHOTS_AT_ONCE", 7)
    database = fresh_database(tmp_path)
    run = WrittenRun(database)
    assert step_ranges(database, run.id) == []
    run.judge([*range(40), *range(60, 75)])
    write_imports(run, range(40))
    later = run.begin("second")
    run.judge(range(66, 80), attempt=later)
    for statistic, attempt in (("std", None), ("std", "first"), ("std", "second"), (OWN, None)):
        parts = list(streamed_series(database, run.id, statistic, run.tensors, attempt=attempt))
        with database.read() as session:
            whole = list(
                imported_series(session, run.id, OWN, run.tensors)
                if statistic == OWN
                else statistic_series(session, run.id, statistic, run.tensors, attempt=attempt)
            )
        for one in whole:
            own = [part for part in parts if part.tensor_id == one.tensor_id]
            assert len(own) > 1
            assert max(len(part.steps) for part in own) <= 7
            for name in ("steps", "values"):
                together = np.concatenate([getattr(part, name) for part in own])
                np.testing.assert_array_equal(together, getattr(one, name))
    database.close()
