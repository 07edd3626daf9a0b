"""What the service says of the real runs, over REST alone, as small JSON-ready documents."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlencode

import urllib3

from .with_control import PROJECT, Losses, RealRun

FOLLOWED: Final = ("spectrum_outliers",)
"""Kept at every snapshot: the tables ask when they appeared."""
AT_THE_ENDS: Final = (
    "std",
    "stable_rank",
    "shape_class",
    "excess_kurtosis",
    "mp_ks_ratio",
    "spectrum_outliers_raw",
    "outlier_strength",
    "outlier_participation",
    "outlier_constant_overlap",
    "power_law_alpha",
)
"""Kept at the first and at the last snapshot."""
DIGITS: Final = 5
"""Significant ones kept: more than the tables show."""
JUDGED_DEADLINE_SECONDS: Final = 300.0
_POLL_SECONDS: Final = 0.5

Json = dict[str, Any]


class Rest:
    """GETs of one server.

    Raises:
        RuntimeError: an answer was not 200; the message holds it.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool = urllib3.PoolManager(timeout=60, retries=urllib3.Retry(total=1, status=0))

    def get(self, path: str, **query: str | int) -> Json:
        url = f"{self._url}/api/v1{path}" + (f"?{urlencode(query)}" if query else "")
        answer = self._pool.request("GET", url)
        if answer.status != 200:
            raise RuntimeError(f"GET {url}: {answer.status} {answer.data[:500]!r}")
        document: Json = json.loads(answer.data)
        return document

    def items(self, path: str, **query: str | int) -> Iterator[Json]:
        cursor: dict[str, str] = {}
        while True:
            answer = self.get(path, **query, **cursor)
            yield from answer["items"]
            if answer.get("next_cursor") is None:
                return
            cursor = {"cursor": answer["next_cursor"]}

    def run_id(self, *, project: str, run: str) -> int:
        (found,) = self.items("/runs", project=project, run=run)
        return int(found["id"])


def collect(rest: Rest, run: RealRun, losses: Losses) -> Json:
    """One run's document: losses, steps of its snapshots, and its matrices with their series.

    Waits until every snapshot is judged. Matrices are the tensors of two dimensions and more; a
    fused projection is represented by its pieces where the service took it apart.
    """
    run_id = rest.run_id(project=PROJECT, run=run.name)
    wait_until_judged(rest, run_id)
    steps = sorted({item["step"] for item in rest.items(f"/runs/{run_id}/snapshots")})
    tensors = {item["id"]: item for item in rest.items(f"/runs/{run_id}/tensors")}
    taken_apart = {item.get("piece_of") for item in tensors.values()}
    matrices = {
        id_: {name: item[name] for name in ("name", "layer", "role", "shape")}
        for id_, item in tensors.items()
        if len(item["shape"]) > 1 and id_ not in taken_apart
    }
    labels = {row["name"]: row.get("labels") for row in rest.items("/stats")}
    for stat in (*FOLLOWED, *AT_THE_ENDS):
        if stat in labels:
            _take(rest, run_id, stat, steps=steps, matrices=matrices, labels=labels[stat])
    return {
        "name": run.name,
        "seed": run.seed,
        "control": run.control,
        "loss": {"first": _rounded(losses.first), "last": _rounded(losses.last)},
        "steps": steps,
        "matrices": list(matrices.values()),
    }


def _take(
    rest: Rest,
    run_id: int,
    stat: str,
    *,
    steps: list[int],
    matrices: dict[int, Json],
    labels: list[str] | None,
) -> None:
    """Adds one statistic to the matrices; classes as their words."""
    for series in rest.items(f"/runs/{run_id}/series", stat=stat):
        matrix = matrices.get(series["tensor"]["id"])
        if matrix is None:
            continue
        told = dict(zip(series["steps"], series["values"], strict=True))
        values = [_word(told.get(step), labels) for step in steps]
        matrix[stat] = values if stat in FOLLOWED else [values[0], values[-1]]


def _word(value: float | None, labels: list[str] | None) -> float | str | None:
    if value is None:
        return None
    return labels[int(value)] if labels else _rounded(value)


def _rounded(value: float) -> float:
    number = float(f"{value:.{DIGITS}g}")
    return int(number) if number.is_integer() else number


def wait_until_judged(rest: Rest, run_id: int) -> None:
    """Returns when every snapshot of a run is judged.

    Raises:
        RuntimeError: one never will be, or it takes ``JUDGED_DEADLINE_SECONDS``.
    """
    deadline = time.monotonic() + JUDGED_DEADLINE_SECONDS
    while True:
        counts = rest.get(f"/runs/{run_id}")["snapshots"]
        if counts["judged"] == counts["total"] > 0:
            return
        if time.monotonic() > deadline or counts["late"] or counts["failed"]:
            raise RuntimeError(f"run {run_id} is not judged whole: {counts}")
        time.sleep(_POLL_SECONDS)
