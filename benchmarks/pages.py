"""How long people wait for the page: a run of 200 tensors and 5,000 snapshots, in a real browser.

The statistics are random walks, written straight into the store and condensed as the pipeline does
while it judges; a real server reads them and Chromium draws. A figure counts as drawn when Bokeh
has said that its document is idle. REST is asked for one role, one tensor and one layer in turn, as
the command line and scripts do.
"""

from __future__ import annotations

import math
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import urllib3
from claims import Claim, options, report
from playwright.sync_api import Page, sync_playwright
from served import served
from sqlalchemy import insert

from bifurk_service.pipeline.condensing import condense_due
from bifurk_service.server import prepare_schema
from bifurk_service.settings import Settings
from bifurk_service.stats.table import STATISTIC_NAMES
from bifurk_service.store.engine import Database
from bifurk_service.store.models import (
    TENSOR_STATS,
    Attempt,
    Series,
    SeriesPoint,
    Snapshot,
    Tensor,
)
from bifurk_service.store.runs import attempt_of, ensure_run

LAYERS = 25
ROLES = (
    "attention.qkv",
    "attention.output",
    "attention.key",
    "attention.value",
    "mlp.up",
    "mlp.down",
    "norm",
    "bias",
)
SNAPSHOTS = 5_000
EVERY = 10
ROUNDS = 10
REST_ROUNDS = 60
BROWSER = shutil.which("chromium") or "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
SWITCHES = ("update_ratio", "l2_norm", "excess_kurtosis", "stable_rank", "cosine_to_first")


def main() -> int:
    """Measures and reports; 0 when every target is met."""
    asked = options(__doc__ or "")
    rounds = asked.rounds or ROUNDS
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder) / "data"
        run_id, condensing = fill(data_dir)
        with served(data_dir) as server:
            rest = rest_seconds(server.url, run_id)
        first, switched = [], []
        for _ in range(rounds):
            # A server of its own each round: what it keeps in memory must not flatter it.
            with served(data_dir) as server:
                one, others = page_seconds(server.url, run_id)
            first.append(one)
            switched += others
    return report(claims(first, switched, rest, condensing), as_json=asked.json)


def fill(data_dir: Path) -> tuple[int, float]:
    """A stored run: its id, and the processor seconds that condensing it took."""
    settings = Settings(data_dir=data_dir)
    prepare_schema(settings)
    database = Database(settings.resolved_database_url)
    random = np.random.default_rng(10_000)
    steps = [EVERY * place for place in range(SNAPSHOTS)]
    with database.write() as session:
        run = ensure_run(session, project="benchmarks", run="pages", now=time.time())
        attempt = attempt_of(session, run, "first", now=time.time())
        tensors = _tensors(run.id)
        session.add_all(tensors)
        session.flush()
        run_id, attempt_id = run.id, attempt.id
        ids = [tensor.id for tensor in tensors]
        attempt.last_step, attempt.state = steps[-1], "finished"
        attempt.cursor = SNAPSHOTS - 1
        session.execute(insert(Snapshot), [_snapshot(attempt, n, s) for n, s in enumerate(steps)])
        loss = Series(run_id=run_id, name="loss")
        session.add(loss)
        session.flush()
        session.execute(insert(SeriesPoint), _losses(loss.id, attempt_id, steps, random))
    names = list(STATISTIC_NAMES)
    for tensor_id in ids:
        walks = np.exp(0.01 * random.standard_normal((SNAPSHOTS, len(names))).cumsum(axis=0))
        rows = [
            {"tensor_id": tensor_id, "attempt_id": attempt_id, "step": step, "no_value": None}
            | dict(zip(names, values, strict=True))
            for step, values in zip(steps, walks.tolist(), strict=True)
        ]
        with database.write() as session:
            session.execute(insert(TENSOR_STATS), rows)
    started = time.process_time()
    condense_due(database, most_seconds=math.inf)
    condensing = time.process_time() - started
    database.close()
    return run_id, condensing


def _tensors(run_id: int) -> list[Tensor]:
    return [
        Tensor(
            run_id=run_id,
            name=f"blocks.{layer}.{role}.weight",
            layer=layer,
            role=role,
            shape=[1024, 1024],
            dtype="float32",
            piece_of=None,
        )
        for layer in range(LAYERS)
        for role in ROLES
    ]


def _snapshot(attempt: Attempt, sequence: int, step: int) -> dict[str, object]:
    now = time.time()
    return {
        "attempt_id": attempt.id,
        "sequence": sequence,
        "step": step,
        "previous_step": step - EVERY if step else None,
        "off_grid": False,
        "state": "judged",
        "tries": 0,
        "error": None,
        "expected_parts": 1,
        "received_parts": 1,
        "coverage": 1.0,
        "wall_clock": now,
        "received_at": now,
        "measured_at": now,
        "judged_at": now,
        "learning_rates": [1e-3],
        "spectra_skipped": 0,
    }


def _losses(
    series_id: int, attempt_id: int, steps: list[int], random: np.random.Generator
) -> list[dict[str, object]]:
    values = (
        2 + 3 * np.exp(-np.arange(len(steps)) / 500) + 0.05 * random.standard_normal(len(steps))
    )
    return [
        {
            "series_id": series_id,
            "attempt_id": attempt_id,
            "step": step,
            "last": value,
            "mean": value,
            "min": value - 0.1,
            "max": value + 0.1,
            "count": EVERY,
        }
        for step, value in zip(steps, values.tolist(), strict=True)
    ]


def page_seconds(url: str, run_id: int) -> tuple[float, list[float]]:
    """Until the run's first figure is drawn, and after each change of statistic."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(f"{url}/")  # the scripts are in the browser's cache from here on
        started = time.perf_counter()
        page.goto(f"{url}/runs/{run_id}")
        _drawn(page)
        first = time.perf_counter() - started
        others = []
        for name in SWITCHES:
            started = time.perf_counter()
            page.get_by_label("Statistic", exact=True).select_option(name)
            _drawn(page)
            others.append(time.perf_counter() - started)
        browser.close()
    return first, others


def _drawn(page: Page) -> None:
    page.locator("#overview[aria-busy=true]").wait_for(state="attached", timeout=5_000)
    page.locator("#overview[aria-busy=false] canvas").first.wait_for(timeout=60_000)


def rest_seconds(url: str, run_id: int) -> list[float]:
    """Answers of the series endpoint, each from its asking to its last byte."""
    http = urllib3.PoolManager()
    asked = [
        f"stat={name}&{which}"
        for name in SWITCHES
        for which in ("role=norm&points=400", "tensor=blocks.3.mlp.up.weight", "layer=7")
    ]
    found = []
    for turn in range(REST_ROUNDS):
        path = f"{url}/api/v1/runs/{run_id}/series?{asked[turn % len(asked)]}"
        started = time.perf_counter()
        answer = http.request("GET", path)
        found.append(time.perf_counter() - started)
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {answer.data[:300]!r}")
    return found


def claims(
    first: list[float], switched: list[float], rest: list[float], condensing: float
) -> list[Claim]:
    """Medians against the targets, and the worst beside them."""
    return [
        Claim(claim="tensors", value=LAYERS * len(ROLES), unit=""),
        Claim(claim="snapshots", value=SNAPSHOTS, unit=""),
        Claim(
            claim="first figure of the run page", value=statistics.median(first), unit="s", target=2
        ),
        Claim(claim="  the slowest", value=max(first), unit="s"),
        Claim(claim="another statistic", value=statistics.median(switched), unit="s", target=1),
        Claim(claim="  the slowest", value=max(switched), unit="s"),
        Claim(claim="condensing, a snapshot", value=1e3 * condensing / SNAPSHOTS, unit="ms"),
        Claim(claim="REST series, median", value=1e3 * statistics.median(rest), unit="ms"),
        Claim(
            claim="REST series, 95th percentile",
            value=1e3 * float(np.percentile(rest, 95)),
            unit="ms",
            target=300,
        ),
    ]


if __name__ == "__main__":
    raise SystemExit(main())
