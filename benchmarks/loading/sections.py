"""The measurements, one function each; every one makes a place of its own and leaves nothing."""

from __future__ import annotations

import statistics
import sys
import time
from dataclasses import asdict
from typing import Any, Final

import numpy as np
import urllib3
from loading.clients import Client, send_for
from loading.parts import Load, Stamp
from loading.places import Place, place
from loading.stored import lengthen
from loading.watched import counted, delays, ids_of
from sqlalchemy import select

from bifurk_service.pipeline.leases import PATIENCE_SECONDS
from bifurk_service.pipeline.sweeping import sweep_orphans
from bifurk_service.store.backlog import waiting_by_state
from bifurk_service.store.blobs import open_blobs
from bifurk_service.store.engine import Database
from bifurk_service.store.models import StoredPart

Row = dict[str, Any]

ROOMY: Final = {"BIFURK_MAX_CONCURRENT_PARTS": "64"}
REST_ROUNDS: Final = 40


def throughput(database: str, clients: int, *, seconds: float, load: Load) -> Row:
    """Clients that send without pause, with the settings as they come; then what was judged."""
    with place(database) as there:
        server, stamp = there.serve(), Stamp(load)
        senders = [Client(server.url, stamp, f"run-{number}") for number in range(clients)]
        used = there.used()
        started = time.perf_counter()
        sent = send_for(senders, seconds)
        spent = there.used().since(used)
        with there.database() as stored:
            _until_quiet(there, most_seconds=seconds)
            found = counted(stored)
        elapsed = time.perf_counter() - started
    return {
        "database": database, "clients": clients, "tensors": load.tensors,
        "acknowledged_per_s": sent.snapshots / sent.seconds,
        "judged_per_s": found.judged / elapsed,
        "p50_ms": sent.percentile_ms(50), "p99_ms": sent.percentile_ms(99),
        "waited_p99_ms": sent.percentile_ms(99, waited=True),
        "refused": sent.refused, "parts": sent.parts,
        "generator_ms": 1e3 * sent.generator_seconds / max(1, sent.parts),
        "generator_cores": sent.generator_seconds / sent.seconds,
        "cores": {name: value / sent.seconds for name, value in asdict(spent).items()},
        "failed": found.failed,
    }  # fmt: skip


def by_tensors(database: str, tensors: int, *, snapshots: int, ranks: int) -> Row:
    """One snapshot after the other, each judged before the next: what each of them takes."""
    load = Load(tensors=tensors, shape=(160, 128), ranks=ranks)
    with place(database) as there:
        server, stamp = there.serve(), Stamp(load)
        client = Client(server.url, stamp, "run")
        for _ in range(2):
            client.send_next()
            _until_quiet(there, most_seconds=600)
        with there.database() as stored:
            run_id, _ = ids_of(stored, "run")
            before, used = counted(stored), there.used()
            client.sent.accepted_seconds, client.sent.bytes = [], 0
            taking_in = 0.0
            for _ in range(snapshots):
                until_now = there.used().server
                client.send_next()
                taking_in += there.used().server - until_now
                _until_quiet(there, most_seconds=600)
            spent, after = there.used().since(used), counted(stored)
            found = delays(stored, "run", range(2, 2 + snapshots))
        rest = _rest(server.url, run_id, points=400)
        memory = there.resident_mib()
    each = {name: value / snapshots for name, value in asdict(spent).items()}
    return {
        "database": database, "tensors": tensors, "snapshots": snapshots, "parts": ranks,
        "acknowledged_s": statistics.median(client.sent.accepted_seconds) * ranks,
        "measured_s": found.measured, "judged_s": found.judged,
        "cpu": each | {"taking_in": taking_in / snapshots}, "rest_p95_ms": rest,
        "wire_bytes": client.sent.bytes / snapshots,
        "blob_bytes": (after.blob_bytes - before.blob_bytes) / snapshots,
        "database_bytes": (after.database_bytes - before.database_bytes) / snapshots,
        "state_bytes": after.state_bytes,
        "server_mib": memory[0], "workers_mib": memory[1],
    }  # fmt: skip


def by_length(database: str, lengths: list[int], *, snapshots: int, tensors: int) -> list[Row]:
    """A run that is made longer and longer; the real thing goes on at its end each time."""
    found: list[Row] = []
    load = Load(tensors=tensors, shape=(160, 128))
    with place(database) as there:
        stamp, sequence = Stamp(load), 0
        for length in lengths:
            server = there.serve()
            client = Client(server.url, stamp, "run", first=sequence)
            while client.sequence < sequence + 3:
                client.send_next()
            _until_quiet(there, most_seconds=60)
            there.rest()
            started = time.perf_counter()
            with there.database() as stored:
                lengthen(stored, ids_of(stored, "run")[1], length)
            filled = time.perf_counter() - started
            print(f"{database}: {length} stored in {filled:.0f} s", file=sys.stderr, flush=True)
            started = time.perf_counter()
            server = there.serve()
            ready = time.perf_counter() - started
            found.append(
                {
                    "database": database, "stored": length, "tensors": tensors,
                    "filled_s": filled, "ready_s": ready,
                    **_at_length(there, stamp, length, snapshots),
                }
            )  # fmt: skip
            sequence = length + snapshots + 2
            there.rest()
            with there.database() as stored:
                found[-1]["sweep_s"] = _sweep_seconds(there, stored)
    return found


def _sweep_seconds(there: Place, database: Database) -> float:
    """For a look for blobs of nobody, among an empty file for each receipt."""
    folder = there.data_dir / "blobs"
    with database.read() as session:
        for key in session.scalars(select(StoredPart.blob_key)):
            (folder / key).parent.mkdir(parents=True, exist_ok=True)
            (folder / key).touch()
    started = time.perf_counter()
    if sweep_orphans(database, open_blobs(str(folder)), older_than_seconds=-1.0):
        raise RuntimeError("blobs with a receipt were taken for nobody's")
    return time.perf_counter() - started


def _at_length(there: Place, stamp: Stamp, length: int, snapshots: int) -> Row:
    assert there.server is not None
    client = Client(there.server.url, stamp, "run", first=length)
    for _ in range(2):
        client.send_next()
    _until_quiet(there, most_seconds=60)
    client.sent.accepted_seconds = []
    used = there.used()
    for _ in range(snapshots):
        client.send_next()
        _until_quiet(there, most_seconds=60)
    spent = there.used().since(used)
    with there.database() as stored:
        found = delays(stored, "run", range(length + 2, length + 2 + snapshots))
        size, (run_id, _) = stored.size_bytes(), ids_of(stored, "run")
    url = there.server.url
    return {
        "acknowledged_ms": 1e3 * statistics.median(client.sent.accepted_seconds),
        "measured_ms": 1e3 * found.measured, "judged_ms": 1e3 * found.judged,
        "cpu_ms": 1e3 * sum(asdict(spent).values()) / snapshots,
        "rest_p95_ms": _rest(url, run_id, points=400),
        "run_ms": _median_ms(url, f"/api/v1/runs/{run_id}"),
        "snapshots_page_ms": _median_ms(url, f"/api/v1/runs/{run_id}/snapshots?limit=100"),
        "metrics_ms": _median_ms(url, "/metrics"),
        "runs_list_ms": _median_ms(url, "/"),
        "run_page_ms": _median_ms(url, f"/runs/{run_id}"),
        "database_bytes": size,
    }  # fmt: skip


def memory(*, parts: int, clients: int, load: Load) -> Row:
    """Resident memory over so many parts, sent as fast as they are judged."""
    samples: list[tuple[float, float, float]] = []
    with place("SQLite", BIFURK_PART_TIMEOUT_SECONDS="600") as there:
        server, stamp = there.serve(), Stamp(load)
        senders = [Client(server.url, stamp, f"run-{number}") for number in range(clients)]
        sent, started = 0, time.perf_counter()
        while sent < parts:
            for sender in senders:
                sender.send_next()
            sent += clients
            if sent % (8 * clients) == 0:
                _until_quiet(there, most_seconds=300, left=8 * clients)
                samples.append((sent, *there.resident_mib()))
        _until_quiet(there, most_seconds=300)
        elapsed = time.perf_counter() - started
    table = np.array(samples)
    settled = table[len(table) // 5 :]
    return {
        "parts": sent, "clients": clients, "tensors": load.tensors, "seconds": elapsed,
        "server": _slope(settled[:, 0], settled[:, 1]),
        "workers": _slope(settled[:, 0], settled[:, 2]),
        "server_mib": float(settled[-1, 1]), "workers_mib": float(settled[-1, 2]),
    }  # fmt: skip


def _slope(parts: np.ndarray, mib: np.ndarray) -> Row:
    """MiB for 1,000 parts: least squares, and 95 % of a bootstrap of moving blocks.

    Source: Kunsch, "The Jackknife and the Bootstrap for General Stationary Observations", 1989.
    """
    thousands = (parts - parts.mean()) / 1e3
    slope = float(np.polyfit(thousands, mib, 1)[0])
    residuals = mib - np.polyval(np.polyfit(thousands, mib, 1), thousands)
    length = max(2, len(mib) // 8)
    random, found = np.random.default_rng(0), []
    for _ in range(2_000):
        starts = random.integers(0, len(mib) - length + 1, -(-len(mib) // length))
        drawn = np.concatenate([residuals[start : start + length] for start in starts])
        found.append(np.polyfit(thousands, drawn[: len(mib)], 1)[0])
    low, high = np.percentile(found, [2.5, 97.5])
    return {"mib_per_1000": slope, "low": slope + float(low), "high": slope + float(high)}


def two_workers(*, runs: int, snapshots: int, turns: int, load: Load) -> list[Row]:
    """Parts that lie ready on PostgreSQL, for one worker and for two that share the runs, in turn.

    Measured from when all have come, and shares have been settled, until a few are left.
    """
    stamp = Stamp(load)
    tried = [
        (workers, _worked_off(workers, runs, snapshots, stamp))
        for _ in range(turns)
        for workers in (1, 2)
    ]
    found = []
    for workers in (1, 2):
        own = [row for count, row in tried if count == workers]
        judged = sum(row["snapshots"] for row in own)
        found.append(
            {
                "workers": workers, "runs": runs, "snapshots": judged,
                "failed": sum(row["failed"] for row in own),
                "seconds": sum(row["seconds"] for row in own),
                "per_s": statistics.median(row["snapshots"] / row["seconds"] for row in own),
                "cpu_ms": 1e3 * sum(row["cpu_s"] for row in own) / max(1, judged),
            }
        )  # fmt: skip
    return found


def _worked_off(workers: int, runs: int, snapshots: int, stamp: Stamp) -> Row:
    with place("PostgreSQL", BIFURK_SPECTRA_VECTORS_EVERY="1000") as there:
        server = there.serve(BIFURK_PIPELINE="false")
        there.work(workers)
        clients = [Client(server.url, stamp, f"run-{number}") for number in range(runs)]
        for _ in range(snapshots):
            for client in clients:
                client.send_next()
        time.sleep(PATIENCE_SECONDS)
        with there.database() as stored:
            before, used, started = counted(stored), there.used(), time.perf_counter()
            # Counting more often would take what is to be shared out.
            _until_quiet(there, most_seconds=600, left=2 * runs, every_seconds=0.25)
            elapsed, done = time.perf_counter() - started, counted(stored)
        spent = there.used().since(used)
    return {
        "snapshots": done.judged - before.judged, "failed": done.failed,
        "seconds": elapsed, "cpu_s": spent.workers,
    }  # fmt: skip


def _until_quiet(
    there: Place, *, most_seconds: float, left: int = 0, every_seconds: float = 0.02
) -> None:
    """Until no more than so many snapshots wait, or so long."""
    deadline = time.monotonic() + most_seconds
    with there.database() as stored:
        while time.monotonic() < deadline:
            if counted_waiting(stored) <= left:
                return
            time.sleep(every_seconds)


def counted_waiting(database: Database) -> int:
    """Snapshots that wait to be measured or judged."""
    with database.read() as session:
        return sum(queue.count for queue in waiting_by_state(session).values())


def _rest(url: str, run_id: int, *, points: int) -> float:
    http, seconds = urllib3.PoolManager(), []
    asked = [
        f"stat={stat}&{which}&layer=0&points={points}"
        for stat in ("std", "update_ratio")
        for which in ("role=mlp.up", "role=mlp.down")
    ]
    for turn in range(REST_ROUNDS):
        path = f"{url}/api/v1/runs/{run_id}/series?{asked[turn % len(asked)]}"
        started = time.perf_counter()
        answer = http.request("GET", path)
        seconds.append(time.perf_counter() - started)
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {answer.data[:300]!r}")
    return 1e3 * float(np.percentile(seconds, 95))


def _median_ms(url: str, path: str, *, times: int = 7) -> float:
    http, seconds = urllib3.PoolManager(), []
    for _ in range(times):
        started = time.perf_counter()
        answer = http.request("GET", url + path)
        seconds.append(time.perf_counter() - started)
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {answer.data[:300]!r}")
    return 1e3 * statistics.median(seconds)
