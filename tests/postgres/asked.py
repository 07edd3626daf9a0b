"""What is asked of both databases: through REST and the page's data, else of the store itself."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import numpy as np
from sqlalchemy import select

from bifurk_service.detect.rates import may_jump
from bifurk_service.pages.marks import run_marks
from bifurk_service.store.engine import Session
from bifurk_service.store.models import StoredAlert
from bifurk_service.store.near import steps_near
from bifurk_service.store.newest_values import newest_values
from bifurk_service.store.outlined_courses import outlined_rates
from bifurk_service.store.outlined_series import Asked, series_near
from bifurk_service.store.rate_changes import neighbours_that_may_jump
from bifurk_service.store.span_courses import read_spans
from bifurk_service.store.timeline import timeline
from bifurk_service.store.whole_steps import count_whole, nearest_whole, whole_ends
from tests.postgres.filled import Side

RUNS: Final = ("trained", "single", "empty", "brought")
OF_A_RUN: Final = (
    "/series?stat=std&points=20",
    "/profile/series?name=std_depth_correlation&points=20",
    "/scalars/loss?points=20",
    "",
)
OF_THE_PAST: Final = (
    *(f"/series?stat=std&points={points}" for points in (4, 1_000)),
    "/series?stat=std&points=20&attempt=first",
    "/series?stat=std&points=9&attempt=second&from=2610",
    "/series?stat=std&points=9&from=5000&to=1",
    "/series?stat=their own&points=4",
    "/series?stat=their own&points=20&from=77&to=2777",
    *(f"/profile/series?name=projection_std&points={points}" for points in (4, 1_000)),
    "/profile/series?name=std_depth_correlation&points=20",
    "/profile/series?name=projection_std&points=9&attempt=first",
    *(f"/scalars/loss?points={points}" for points in (8, 1_000)),
    "/scalars/loss?points=30&attempt=first",
    "/compare?with={past}&step=1290&with_step=200",
    "",
)
OF_OTHERS: Final = (
    "{faulty}/series?stat=update_ratio&points=4",
    "{faulty}/series?stat=stable_rank&points=100&tensor=h.*",
    "{trained}/series?stat=nonfinite_count",
    "{trained}/series?stat=std&attempt=first",
    "{trained}/series?stat=std&tensor=*DOWN*",
    "{trained}/scalars/Loss/train",
    "{trained}/scalars/none",
    "{trained}/snapshots?limit=50",
    "{brought}/series?stat=sharpness",
    "{faulty}/compare?with={good}",
    "{resumed}/compare?with={good}",
    "{single}/compare?with={empty}",
)
DATA_OF_THE_PAST: Final = (
    "/runs/{past}/figures/overview.csv?stat=std",
    "/runs/{past}/figures/overview.csv?stat=their own",
    "/runs/{past}/tensors/1/figures/statistics.csv",
    "/alerts/1/figures/evidence.csv",
)
DATA_OF_OTHERS: Final = (
    "/api/v1/alerts?limit=100",
    "/runs/{trained}/figures/overview.csv?stat=nonfinite_count",
    "/runs/{empty}/figures/overview.csv?stat=std",
    "/runs/{trained}/branches/figures/trajectories.csv?role=mlp.up",
    "/runs/{trained}/branches/figures/depth.csv?role=mlp.up",
    "/compare/figures/courses.csv?a={faulty}&b={good}",
    "/compare/figures/profiles.csv?a={faulty}&b={good}",
)
PAST_PATHS: Final = (*(f"/api/v1/runs/{{past}}{one}" for one in OF_THE_PAST), *DATA_OF_THE_PAST)
PATHS: Final = (
    *PAST_PATHS,
    *(f"/api/v1/runs/{{{name}}}{one}" for name in RUNS for one in OF_A_RUN),
    *(f"/api/v1/runs/{one}" for one in OF_OTHERS),
    *DATA_OF_OTHERS,
)


def _near(session: Session) -> Any:
    asked = Asked(run_id=1, statistic="std", tensor_ids=[1, 2], points=20)
    near = steps_near(session, 1, 1_000, 1_200, least=20)
    return near, list(series_near(session, asked, near) or ())


def _whole(session: Session) -> Any:
    courses = [timeline(session, run) for run in range(1, 9)]
    return [
        (whole_ends(session, one), count_whole(session, one), nearest_whole(session, one, 707))
        for one in courses
    ]


OF_THE_STORE: Final[Mapping[str, Callable[[Session], Any]]] = {
    "jumps of the learning rate": lambda s: [
        neighbours_that_may_jump(s, 1, may_jump=may_jump, around=step) for step in (0, 2_000)
    ],
    "marks on the figures of alerts": lambda s: [
        run_marks(s, alert) for alert in s.scalars(select(StoredAlert).order_by(StoredAlert.id))
    ],
    "what is near an alert": _near,
    "a learning rate in a few points": lambda s: [
        outlined_rates(s, 1, points=points) for points in (4, 20)
    ],
    "the newest values": lambda s: [
        newest_values(s, run, name, ids, step)
        for run, name, ids in ((1, "std", [1, 2]), (3, "update_ratio", [6, 7, 8]))
        for step in (1_234, 9_999)
    ],
    "a picture": lambda s: [
        read_spans(s, 1, name, [1, 2], narrow=lambda first, last, most=widest: last - first < most)
        for name in ("std", "their own")
        for widest in (100, 10_000)
    ],
    "whole steps": _whole,
}


def answers(side: Side, paths: Iterable[str]) -> dict[str, Any]:
    """What a side tells, by what was asked: of a path the status and the body."""
    found: dict[str, Any] = {}
    for path in paths:
        answer = side.client.get(path.format(**side.runs))
        is_json = "json" in answer.headers.get("content-type", "")
        body = _timeless(answer.json()) if is_json else answer.text
        found[path] = answer.status_code, body
    with side.database.read() as session:
        found |= {name: _plain(ask(session)) for name, ask in OF_THE_STORE.items()}
    return found


def _timeless(answer: Any) -> Any:
    """Without what no two servers tell alike: when it was, and which request asked."""
    if isinstance(answer, dict):
        known = {name for name in answer if not name.endswith("_at") and name != "request_id"}
        return {name: _timeless(answer[name]) for name in answer if name in known}
    return [_timeless(one) for one in answer] if isinstance(answer, list) else answer


def _plain(value: Any) -> Any:
    """Numbers, lists and dictionaries, in which what is no number equals itself."""
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if dataclasses.is_dataclass(value):
        return {one.name: _plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return "nan" if isinstance(value, float) and math.isnan(value) else value
