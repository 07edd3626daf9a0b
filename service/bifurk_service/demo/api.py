"""The demo's reader of the REST API: the few answers it needs, as values."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

import numpy as np
import urllib3
from numpy.typing import NDArray

REACH_SIGMA: Final = 3.0
"""Densities reach this many standard deviations to both sides of zero."""
DENSITY_BINS: Final = 120
TIMEOUT_SECONDS: Final = 30.0
"""For one answer: a server that measures on all cores still answers well within it."""

_STALE_CONNECTION: Final = urllib3.Retry(total=1, connect=0, redirect=0, status=0, other=0)
"""The server may close an idle connection just as it is used again; nothing else is tried twice."""

Json = Mapping[str, Any]


class ApiError(RuntimeError):
    """The server could not be reached or did not answer 200."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Series:
    """One statistic of one tensor over time.

    Attributes:
        steps: int64 [K], ascending. values: float64 [K], NaN where there is no value.
    """

    tensor: str
    layer: int | None
    steps: NDArray[np.int64]
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Distribution:
    """The density of one tensor's values at one step.

    Attributes:
        edges: float64 [B + 1], ascending, in standard deviations of these values; the same at
            every step. density: float64 [B], at least 0, per standard deviation.
    """

    step: int
    edges: NDArray[np.float64]
    density: NDArray[np.float64]


class Api:
    """Reads from one server; every method raises ``ApiError`` when it gives no answer."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._pool = urllib3.PoolManager(
            timeout=urllib3.Timeout(total=TIMEOUT_SECONDS), retries=_STALE_CONNECTION
        )

    def check_ready(self) -> None:
        """Returns when the server says that it is ready."""
        self._answer("/readyz")

    def run_id(self, project: str, run: str) -> int:
        """The id of the run of this name."""
        for item in self._items("/api/v1/runs", project=project):
            if item["run"] == run:
                return int(item["id"])
        raise ApiError(f"{self.url} knows no run {run!r} in project {project!r}")

    def run(self, run_id: int) -> Json:
        """State, counts of snapshots and readiness of one run."""
        return self._get(f"/api/v1/runs/{run_id}")

    def alerts(self, run_id: int) -> tuple[Json, ...]:
        """All alerts of one run."""
        return tuple(self._items("/api/v1/alerts", run=run_id))

    def tensor_ids(self, run_id: int) -> dict[str, int]:
        """Tensor name to id, of one run."""
        items = self._items(f"/api/v1/runs/{run_id}/tensors")
        return {item["name"]: int(item["id"]) for item in items}

    def series(self, run_id: int, *, stat: str, tensor: str) -> tuple[Series, ...]:
        """One statistic of every tensor whose name matches the glob."""
        items = self._items(f"/api/v1/runs/{run_id}/series", stat=stat, tensor=tensor)
        return tuple(
            Series(
                tensor=item["tensor"]["name"],
                layer=item["tensor"]["layer"],
                steps=np.array(item["steps"], dtype=np.int64),
                values=np.array(item["values"], dtype=np.float64),
            )
            for item in items
        )

    def distribution(self, run_id: int, tensor_id: int, *, step: int) -> Distribution:
        """The density of one tensor at one snapshot."""
        answer = self._get(
            f"/api/v1/runs/{run_id}/tensors/{tensor_id}/distribution",
            step=step,
            unit="sigma",
            low=-REACH_SIGMA,
            high=REACH_SIGMA,
            bins=DENSITY_BINS,
        )
        return Distribution(
            step=int(answer["step"]),
            edges=np.array(answer["edges"], dtype=np.float64),
            density=np.array(answer["density"], dtype=np.float64),
        )

    def close(self) -> None:
        """Lets go of the connections."""
        self._pool.clear()

    def _items(self, path: str, **query: str | float) -> Iterator[Json]:
        cursor: dict[str, str] = {}
        while True:
            answer = self._get(path, **query, **cursor)
            yield from answer["items"]
            if answer.get("next_cursor") is None:
                return
            cursor = {"cursor": answer["next_cursor"]}

    def _get(self, path: str, **query: str | float) -> Json:
        answer: Json = json.loads(self._answer(path, **query))
        return answer

    def _answer(self, path: str, **query: str | float) -> bytes:
        url = f"{self.url}{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            response = self._pool.request("GET", url)
        except urllib3.exceptions.HTTPError as error:
            raise ApiError(f"GET {url}: {error}") from error
        if response.status != 200:
            raise ApiError(f"GET {url}: {response.status} {response.data[:500]!r}")
        return response.data
