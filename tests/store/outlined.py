"""What a series in fewer points must be, by the whole one."""

from __future__ import annotations

from typing import Any

import numpy as np
from sqlalchemy import insert, select

from bifurk_service.store.imports import imported_series
from bifurk_service.store.models import ImportedStatistic, ImportedValue, ProfileValue, Tensor
from bifurk_service.store.outlined_profiles import outlined_profiles
from bifurk_service.store.outlined_series import Asked, outlined_series
from bifurk_service.store.profiles import profile_series
from bifurk_service.store.series import StatisticSeries, statistic_series
from bifurk_service.store.span_courses import read_spans
from tests.written_run import WrittenRun


def check_outlined(run: WrittenRun, points: int, **asked: Any) -> list[StatisticSeries]:
    """The points are the series' own, no more than asked for, and no extreme is lost."""
    with run.database.read() as session:
        every = list(statistic_series(session, run.id, "std", run.tensors, **asked))
        fewer = list(
            outlined_series(
                session,
                Asked(
                    run_id=run.id,
                    statistic="std",
                    tensor_ids=run.tensors,
                    points=points,
                    **asked,
                ),
            )
        )
    for whole, found in zip(every, fewer, strict=True):
        check_points(whole, found, points)
    return fewer


def check_imported(run: WrittenRun, points: int, **asked: Any) -> None:
    """The same of a statistic that the run has brought."""
    own: dict[str, Any] = {"run_id": run.id, "statistic": OWN, "tensor_ids": run.tensors}
    with run.database.read() as session:
        every = list(imported_series(session, run.id, OWN, run.tensors, **asked))
        fewer = list(outlined_series(session, Asked(points=points, **own, **asked)))
    for whole, found in zip(every, fewer, strict=True):
        assert len(whole.steps) > len(found.steps) or not found.is_outlined
        check_points(whole, found, points)


def check_imported_spans(run: WrittenRun) -> None:
    """What a picture is drawn from has the extremes of the steps between, and fewer values."""
    with run.database.read() as session:
        every = list(imported_series(session, run.id, OWN, run.tensors))
        spans = read_spans(
            session, run.id, OWN, run.tensors, narrow=lambda first, last: last >= first
        )
    assert len(spans.first) < len(every[0].steps) / 3
    for row, whole in enumerate(every):
        at = np.searchsorted(spans.first, whole.steps, side="right") - 1
        for place in np.unique(at):
            values = whole.values[at == place]
            assert spans.low[row, place] == values.min()
            assert spans.high[row, place] == values.max()


def check_profiles(
    run: WrittenRun, points: int, role: str | None = None, attempt: str | None = None
) -> list[str]:
    """The same of statistics across layers; tells their roles."""
    with run.database.read() as session:
        for name in PROFILES:
            every = profile_series(session, run.id, name, role, attempt)
            fewer = outlined_profiles(session, run.id, name, role, attempt, points=points)
            assert [one.role for one in fewer] == [one for one, *_ in every]
            for (_, steps, values), found in zip(every, fewer, strict=True):
                courses = (
                    StatisticSeries(tensor_id=0, steps=one, values=of_it)
                    for one, of_it in ((steps, values), (found.steps, found.values))
                )
                check_points(*courses, points)
    return [one.role for one in fewer]


PROFILES = ("projection_std", "std_depth_correlation")
OWN = "their own"


def write_profiles(
    run: WrittenRun, sequences: range, attempt: int | None = None, every: int = 1
) -> None:
    """Profiles of all roles and of the whole model at some steps; one in seven has no value."""
    random = np.random.default_rng(5)
    with run.database.write() as session:
        roles = session.scalars(select(Tensor.role).distinct()).all()
        rows = [
            {
                "attempt_id": attempt or run.attempt,
                "name": name,
                "role": role,
                "step": 10 * sequence,
                "value": None if random.random() < 1 / 7 else float(random.standard_cauchy()),
            }
            for name in PROFILES
            for role in ("", *roles)
            for sequence in sequences[::every]
        ]
        session.execute(insert(ProfileValue).execution_options(render_nulls=True), rows)


def write_imports(run: WrittenRun, sequences: range) -> None:
    """A statistic of the run's own, at every step but some, of its tensors."""
    random = np.random.default_rng(6)
    with run.database.write() as session:
        described = {"run_id": run.id, "nature": "integrated", "log_scale": False}
        names = [{**described, "name": name} for name in ("another", OWN)]
        session.execute(insert(ImportedStatistic), names)
        own = {"statistic_id": 2, "attempt_id": run.attempt}
        rows = [
            {**own, "tensor_id": tensor, "step": 10 * at, "value": float(random.standard_cauchy())}
            for tensor in run.tensors
            for at in sequences
            if random.random() > 1 / 9
        ]
        session.execute(insert(ImportedValue), rows)


def check_points(whole: StatisticSeries, found: StatisticSeries, points: int) -> None:
    """The same of one course."""
    assert found.tensor_id == whole.tensor_id
    values = dict(zip(whole.steps.tolist(), whole.values.tolist(), strict=True))
    assert (np.diff(found.steps) > 0).all()
    np.testing.assert_array_equal(found.values, [values[step] for step in found.steps.tolist()])
    if len(found.steps) == len(whole.steps):
        return
    assert len(found.steps) <= points
    assert found.steps[[0, -1]].tolist() == whole.steps[[0, -1]].tolist()
    # What is read is cut into stretches of some length; each value lies between two extremes.
    reach = 4 * (whole.steps[-1] - whole.steps[0]) / max(1, (points - 2) // 2)
    known = ~np.isnan(found.values)
    steps, extremes = found.steps[known], found.values[known]
    for step, value in values.items():
        near = extremes[np.abs(steps - step) <= reach]
        assert np.isnan(value) or near.min() <= value <= near.max()
