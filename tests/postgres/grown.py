"""Runs of ten thousand stored snapshots, written in a few statements, and what is condensed of one.

Everything is 1.0: how much is read of it matters, not what is told.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from sqlalchemy import text

from bifurk_service.stats.table import STATISTIC_NAMES
from bifurk_service.store.condensed_courses import (
    COUNT,
    RATE,
    SCALAR_RANGES,
    SCALARS,
    STEPS,
    imported_row,
    profile_row,
)
from bifurk_service.store.condensed_rows import BINS, ENCODING, LEVELS, PLACE, keep_rows, span
from bifurk_service.store.engine import Database, Session
from bifurk_service.store.models import ImportedStatistic, Series, Tensor
from bifurk_service.store.runs import attempt_of, ensure_run
from tests.store.outlined import OWN, PROFILES

SNAPSHOTS: Final = 10_000
RUNS: Final = ("r", "another")
"""Two, so that an attempt is no more than half of what there is; the first is asked about."""
TENSORS: Final = 2
MEASURED: Final = ("mean", "std", "rms", "update_ratio", "stable_rank")
"""Statistics with values."""

SNAPSHOT_ROWS: Final = """
    INSERT INTO snapshots (attempt_id, sequence, step, previous_step, off_grid, state, tries,
        expected_parts, received_parts, coverage, wall_clock, received_at, measured_at, judged_at,
        learning_rates, thinned)
    SELECT a.id, n, 10 * n, 10 * n - 10, false, 'judged', 0, 1, 1, 1, n, n, n, n, '[1.0]',
        CASE WHEN n > :snapshots - 9 AND n < :snapshots - 2 THEN 2 ELSE 0 END
    FROM attempts a, generate_series(0, :snapshots - 1) n"""
ROWS: Final = (
    f"""INSERT INTO tensor_stats (tensor_id, attempt_id, step, {", ".join(MEASURED)})
    SELECT t.id, a.id, 10 * n, {", ".join("1" for _ in MEASURED)}
    FROM attempts a JOIN tensors t USING (run_id), generate_series(0, :snapshots - 1) n""",
    """INSERT INTO parts (snapshot_id, rank, digest, encoding, blob_key, blob_bytes)
    SELECT id, 0, '0', 'zstd', 'p/r/first/' || id, 1 FROM snapshots WHERE attempt_id = 1""",
    """INSERT INTO marks (snapshot_id, kind, step, details)
    SELECT id, 'evaluation', step, '{}' FROM snapshots WHERE sequence % 100 = 0""",
    """INSERT INTO profiles (attempt_id, name, role, step, value)
    SELECT 1, :profile, role, 10 * n, 1
    FROM unnest(ARRAY['', 'other']) role, generate_series(0, :snapshots - 1) n""",
    """INSERT INTO series_points (series_id, attempt_id, step, last, mean, min, max, count)
    SELECT 1, 1, 10 * n, 1, 1, 1, 1, 1 FROM generate_series(0, :snapshots - 1) n""",
    """INSERT INTO imported_values (statistic_id, tensor_id, attempt_id, step, value)
    SELECT 2, t.id, 1, 10 * n, 1
    FROM tensors t, generate_series(0, :snapshots - 1) n WHERE run_id = 1""",
)
CONDENSED_ROWS: Final = """
    INSERT INTO extremes (attempt_id, level, statistic, block, data, places)
    SELECT 1, :level, name, block, :data, :places
    FROM unnest(CAST(:names AS text[])) name, generate_series(0, :blocks - 1) block"""
UNCHECKED: Final = "SET LOCAL session_replication_role = replica"
"""Whether there is what a row refers to is not looked up, nor is it added to a sum."""


def write_grown(database: Database) -> None:
    """Both runs, of one attempt each."""
    with database.write() as session:
        for name in RUNS:
            run = ensure_run(session, project="p", run=name, now=0.0)
            attempt = attempt_of(session, run, "first", now=0.0)
            attempt.cursor, attempt.first_sequence = SNAPSHOTS - 1, 0
            attempt.condensed = SNAPSHOTS // COUNT * COUNT
            own = {"run_id": run.id, "role": "other", "shape": [2, 2], "dtype": "float32"}
            session.add_all(Tensor(name=f"w{place}", **own) for place in range(TENSORS))
            session.add(Series(run_id=run.id, name="loss"))
            brought = {"run_id": run.id, "nature": "integrated", "log_scale": False}
            session.add_all(ImportedStatistic(name=one, **brought) for one in ("another", OWN))
            session.flush()
        asked = {"snapshots": SNAPSHOTS, "profile": PROFILES[0]}
        session.execute(text(SNAPSHOT_ROWS), asked)
        session.execute(text(UNCHECKED))
        for rows in ROWS:
            session.execute(text(rows), asked)
        for level in LEVELS:
            _write_condensed(session, level)


def _write_condensed(session: Session, level: int) -> None:
    told = [*MEASURED, RATE, SCALARS, SCALAR_RANGES, imported_row(1), profile_row(PROFILES[0])]
    untold = [name for name in STATISTIC_NAMES if name not in MEASURED]
    blocks = SNAPSHOTS // (BINS * span(level))
    begins = span(level) * np.arange(BINS)[:, None, None]
    shape = (BINS, 2, TENSORS)
    for names, value in ((told, 1.0), (untold, np.nan)):
        asked = {
            "level": level,
            "names": names,
            "blocks": blocks,
            "data": np.full(shape, value, dtype=ENCODING).tobytes(),
            "places": np.broadcast_to(begins, shape).astype(PLACE).tobytes(),
        }
        session.execute(text(CONDENSED_ROWS), asked)
    places = begins + np.array([0, span(level) - 1])[:, None]
    for block in range(blocks):
        start = block * BINS * span(level)
        rows = {STEPS: (10.0 * (start + places), places)}
        keep_rows(session, 1, rows, level=level, start=start)
