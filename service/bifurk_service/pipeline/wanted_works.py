"""Which groups of layers of a run are held: those that a baseline is about."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from bifurk_service.notify.baselines import Baseline
from bifurk_service.pipeline.group_courses import Work, works_of
from bifurk_service.store.baselines import JudgedRun
from bifurk_service.store.engine import Database
from bifurk_service.store.series import find_tensors


def wanted_works(database: Database, baseline: Baseline, run: JudgedRun) -> list[Work]:
    """The groups of a run that a baseline is about."""
    return [
        work
        for work in _works(database, run)
        if (baseline.roles is None or work.role in baseline.roles)
        and any(fnmatchcase(one.name, baseline.match or "*") for one in work.tensors)
    ]


def same_works(database: Database, run: JudgedRun, works: Sequence[Work]) -> list[Work]:
    """The groups of a run that are named as those of another; none where nothing is."""
    names = {work.name for work in works}
    return [one for one in _works(database, run) if one.name in names]


def _works(database: Database, run: JudgedRun) -> list[Work]:
    with database.read() as session:
        return works_of(find_tensors(session, run.run_id))
