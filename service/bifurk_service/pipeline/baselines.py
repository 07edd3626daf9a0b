"""Runs held against their good ones while they go on, a little at a time.

What a verdict rests on is stored, and nothing else is remembered for it: a restart reads it again
and comes to the same. An alert is raised once for a run's attempt, and known by its fingerprint.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import Final

from bifurk_service.detect.baseline_departures import required
from bifurk_service.detect.leaves_baseline import Found
from bifurk_service.errors import StorageError
from bifurk_service.notify.baselines import Baseline
from bifurk_service.notify.rules import Policy, Ruler
from bifurk_service.pipeline.baseline_news import Looked, is_due
from bifurk_service.pipeline.baseline_notes import BaselineNotes
from bifurk_service.pipeline.baseline_reports import report
from bifurk_service.pipeline.course_memory import CourseMemory, ReadRun
from bifurk_service.pipeline.group_courses import Work
from bifurk_service.pipeline.held_runs import HeldRuns, firm_until
from bifurk_service.pipeline.holding import (
    GoodMemory,
    held_courses,
    last_departure,
    outside_in_portions,
    strangers,
)
from bifurk_service.pipeline.wanted_works import same_works, wanted_works
from bifurk_service.store.baselines import JudgedRun, judged_runs
from bifurk_service.store.engine import Database
from bifurk_service.store.sums import measured_until

log = logging.getLogger("bifurk.service")

BUDGET_SECONDS: Final = 0.25
"""Of every round of chores; what is not done by then goes on in the next."""
NEWS_SECONDS: Final = 86_400.0
"""Runs of which nothing has been judged for longer are not held against anything."""
OLD_SECONDS: Final = 300.0
"""What was begun longer ago without going on is begun anew: others may have held the run since."""
MOST_POINTS: Final = 20_000_000
"""Values of a run and its good ones together: tensors times snapshots times statistics."""


class BaselineKeeper:
    """Holds runs against baselines; safe to call at any time, from one thread.

    Args:
        database: what is judged is read from it, alerts are written to it.
        baselines: those in force. policy: who is told.
        may_tell: whether it is this process that tells, asked before each report.
        monotonic: the clock of the budget. budget_seconds: see ``BUDGET_SECONDS``.
    """

    def __init__(
        self,
        database: Database,
        *,
        baselines: Callable[[], Sequence[Baseline]] = tuple,
        policy: Ruler = Policy(),  # noqa: B008 - frozen, and empty
        may_tell: Callable[[], bool] = lambda: True,
        monotonic: Callable[[], float] = time.monotonic,
        budget_seconds: float = BUDGET_SECONDS,
    ) -> None:
        self._database = database
        self._baselines = baselines
        self._policy = policy
        self._may_tell = may_tell
        self._monotonic = monotonic
        self._budget_seconds = budget_seconds
        self._in_force: Sequence[Baseline] = ()
        self._going: Iterator[None] | None = None
        self._now = 0.0
        self._forget()

    def run(self, now: float) -> None:
        """Does what the budget allows, and takes up where it ended the last time.

        Args:
            now: seconds since 1970 UTC.

        Raises:
            StorageError: the database takes nothing now; what was being done begins anew.
        """
        in_force = self._baselines()
        if in_force != self._in_force:
            self._in_force = in_force
            self._forget()
        if self._going is None or now - self._now > OLD_SECONDS:
            self._going = self._round()
        deadline = self._monotonic() + self._budget_seconds
        while self.go_on(now) and self._monotonic() < deadline:
            pass

    def go_on(self, now: float) -> bool:
        """Does one small read, or holds some courses, of what is left; whether more may be.

        Args:
            now: seconds since 1970 UTC.

        Raises:
            StorageError: see ``run``.
        """
        self._now = now
        going, self._going = self._going, None
        for _ in going or ():
            self._going = going
            return True
        return False

    def _forget(self) -> None:
        self._going = None
        self._courses = CourseMemory(self._database)
        self._good = GoodMemory()
        self._held = HeldRuns()
        self._looked: dict[tuple[str, int], Looked] = {}
        self._notes = BaselineNotes()

    def _round(self) -> Iterator[None]:
        """Every run that is due, once."""
        for baseline in self._in_force:
            with self._database.read() as session:
                runs = judged_runs(session, baseline.project)
            good = [one for one in runs if one.run in baseline.good]
            due = [run for run in runs if self._is_due(baseline, run, _without(good, run))]
            if due:
                self._notes.absent(baseline, [one.run for one in good])
            for run in due:
                looked = yield from self._guarded(baseline, run, _without(good, run))
                if looked is not None:
                    self._looked[baseline.name, run.run_id] = looked

    def _is_due(self, baseline: Baseline, run: JudgedRun, good: Sequence[JudgedRun]) -> bool:
        if not fnmatchcase(run.run, baseline.run) or self._now - run.judged_at > NEWS_SECONDS:
            return False
        last = self._looked.get((baseline.name, run.run_id))
        return last is None or is_due(last, run, good, now=self._now)

    def _guarded(
        self, baseline: Baseline, run: JudgedRun, others: Sequence[JudgedRun]
    ) -> Generator[None, None, Looked | None]:
        """One that cannot be held must not keep others from it; None: it is still due."""
        good = {one.run_id: one for one in others}
        try:
            firm = yield from self._hold(baseline, run, others)
        except StorageError:
            raise
        except Exception:
            log.exception("run %s cannot be held against baseline %s", run.run, baseline.name)
            return Looked(run=run, good=good, firm={}, failed_at=self._now)
        return None if firm is None else Looked(run=run, good=good, firm=firm)

    def _hold(
        self, baseline: Baseline, run: JudgedRun, others: Sequence[JudgedRun]
    ) -> Generator[None, None, Mapping[int, int] | None]:
        """See ``Looked.firm``; None where a run changed meanwhile, or cannot be told of now."""
        if len(others) < baseline.least_good:
            return {}
        works = wanted_works(self._database, baseline, run)
        if not works or self._is_too_large(baseline, run, others, works):
            return {}
        read = yield from self._read(baseline, run, others, works)
        if read is None:
            return None
        mine, theirs = read
        firm = {one.run_id: firm_until(theirs[one.run], mine.courses) for one in others}
        theirs = self._without_strangers(baseline, run, mine, theirs)
        if len(theirs) < baseline.least_good:
            return firm
        found = yield from self._found(baseline, run, works, mine, theirs, others)
        return firm if found is None or self._is_told(run, found) else None

    def _read(
        self,
        baseline: Baseline,
        run: JudgedRun,
        others: Sequence[JudgedRun],
        works: Sequence[Work],
    ) -> Generator[None, None, tuple[ReadRun, dict[str, ReadRun]] | None]:
        """The run and, by name, the good ones; None where one of them was not read to its end."""
        mine = yield from self._courses.read(
            run.run_id, works, baseline.statistics, until=run.until
        )
        theirs: dict[str, ReadRun] = {}
        for one in others if mine is not None else ():
            same = same_works(self._database, one, works)
            read = yield from self._courses.read(
                one.run_id, same, baseline.statistics, until=one.until
            )
            if read is None:
                return None
            theirs[one.run] = read
        return None if mine is None else (mine, theirs)

    def _is_told(self, run: JudgedRun, found: Found) -> bool:
        return self._may_tell() and report(self._database, run, found, self._policy, now=self._now)

    def _without_strangers(
        self, baseline: Baseline, run: JudgedRun, mine: ReadRun, theirs: Mapping[str, ReadRun]
    ) -> dict[str, ReadRun]:
        """The good runs that have something in common with the run; of the others it is told."""
        strange = strangers(mine, theirs)
        left = {name: one for name, one in theirs.items() if name not in strange}
        self._notes.strange(baseline, run.run, strange, left=len(left))
        return left

    def _found(
        self,
        baseline: Baseline,
        run: JudgedRun,
        works: Sequence[Work],
        mine: ReadRun,
        theirs: Mapping[str, ReadRun],
        good: Sequence[JudgedRun],
    ) -> Generator[None, None, Found | None]:
        """What comes of the courses; None where nothing can be told of any."""
        place = baseline.name, run.run_id
        earlier = self._held.known(place, mine, theirs)
        held_after = partial(
            held_courses, works, mine.courses, {name: one.courses for name, one in theirs.items()}
        )
        steps, held = held_after(after=None if earlier is None else earlier.until)
        found = yield from outside_in_portions(
            steps,
            held,
            least_good=baseline.least_good,
            earlier=None if earlier is None else earlier.found,
        )
        if not found.told:
            return None
        there = [one for one in good if one.run in theirs]
        reads = [(one.run_id, theirs[one.run]) for one in there]
        good_out = yield from self._good.most(
            tuple(mine.courses),
            lambda: held_after()[1],
            of=tuple((run_id, read.until, read.origin) for run_id, read in reads),
        )
        self._notes.unlike(baseline, good_out, enough=required(found.told, {}))
        needed = required(found.told, good_out)
        if earlier is not None and earlier.needed != needed:
            self._held.forget(place)
            return (yield from self._found(baseline, run, works, mine, theirs, good))
        known = None if earlier is None else earlier.departure
        departure = last_departure(found, least=needed, known=known)
        self._held.keep(place, mine, theirs, found=found, departure=departure, needed=needed)
        return Found(
            baseline=baseline.name,
            good={one.run: one.run_id for one in there},
            least_good=baseline.least_good,
            held=held,
            outside=found,
            departure=departure,
            needed=needed,
            good_out=good_out,
        )

    def _is_too_large(
        self,
        baseline: Baseline,
        run: JudgedRun,
        others: Sequence[JudgedRun],
        works: Sequence[Work],
    ) -> bool:
        with self._database.read() as session:
            snapshots = sum(measured_until(session, one.run_id)[0] for one in (run, *others))
        tensors = sum(len(work.tensors) for work in works)
        points = tensors * snapshots * len(baseline.statistics)
        if points > MOST_POINTS:
            self._notes.too_large(baseline, run.run, points=points, most=MOST_POINTS)
        return points > MOST_POINTS


def _without(runs: Sequence[JudgedRun], run: JudgedRun) -> list[JudgedRun]:
    return [one for one in runs if one.run_id != run.run_id]
