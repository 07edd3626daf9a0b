"""Whether the capacity model holds: twenty runs of 200 tensors against what it says of them.

The costs come from ``load.py``'s runs one at a time, at other sizes (``results/load.json``); here
the real service takes in, measures and judges synthetic parts of many runs at once, at rates around
the one at which the model says that the queue begins to grow. Four minutes a database on two quiet
cores; ``--quick`` one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", OMP_WAIT_POLICY="PASSIVE")

from claims import Claim, report
from loading.capacity import House, costs_from, judged, saturation
from loading.clients import Client, send_for
from loading.parts import Load, Stamp
from loading.places import DATABASES, place
from loading.watched import counted

HERE = Path(__file__).parent
MEASURED = HERE / "results/load.json"
RESULTS = HERE / "results/simulation.json"
SHARES = (0.5, 0.8, 1.25, 2.0)
"""Arrival rates, as shares of the one that the model says is the most."""


def main() -> int:
    """Predicts, simulates, compares."""
    asked = _options()
    costs = costs_from(json.loads(MEASURED.read_text(encoding="utf-8"))["tensors"], asked.database)
    load = Load(tensors=asked.tensors, shape=(160, 128))
    house = House(cores=float(os.cpu_count() or 1))
    stamp = Stamp(load)
    sending = _sending_seconds(stamp)
    most = saturation(asked.tensors, costs, house, other=sending)
    rows = []
    for share in asked.shares:
        row = simulate(asked, stamp, rate=share * most)
        arrived = row["arrived_per_s"]
        expected = judged(arrived, asked.tensors, costs, house, other=sending)
        row |= {
            "share": share, "most_per_s": most,
            "predicted_judged_per_s": expected,
            "predicted_growth_per_s": arrived - expected,
            "predicted_rows": asked.tensors * row["seconds"] * expected,
            "predicted_blob_bytes": costs.blobs.at(asked.tensors) * row["received"],
            "predicted_cores": costs.busy(arrived, expected, asked.tensors),
        }  # fmt: skip
        rows.append(row)
        print(json.dumps(row), file=sys.stderr, flush=True)
    found = {"database": asked.database, "runs": asked.runs, "tensors": asked.tensors, "rows": rows,
             "generator_s": sending}  # fmt: skip
    if not asked.quick:
        stored = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
        stored[asked.database] = found
        RESULTS.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    return report(claims(found), as_json=asked.json)


def simulate(asked: argparse.Namespace, stamp: Stamp, *, rate: float) -> dict[str, Any]:
    """Runs that send at their intervals for a while; what came of it meanwhile."""
    with place(asked.database, BIFURK_MAX_CONCURRENT_PARTS="64") as there:
        server = there.serve()
        clients = [Client(server.url, stamp, f"run-{number}") for number in range(asked.runs)]
        for client in clients:  # the first snapshots set up runs and detectors
            client.send_next()
        with there.database() as stored:
            deadline = time.monotonic() + 120
            while counted(stored).judged < asked.runs and time.monotonic() < deadline:
                time.sleep(0.1)
            before, used, started = counted(stored), there.used(), time.perf_counter()
            sent = _spread(clients, asked.runs / rate, asked.seconds)
            elapsed = time.perf_counter() - started
            after, spent = counted(stored), there.used().since(used)
    done = after.judged - before.judged
    return {
        "offered_per_s": rate, "arrived_per_s": sent.snapshots / elapsed, "seconds": elapsed,
        "received": after.received,
        "judged_per_s": done / elapsed,
        "growth_per_s": (after.waiting - before.waiting) / elapsed,
        "p99_ms": sent.percentile_ms(99), "rows": after.rows - before.rows,
        "blob_bytes": after.blob_bytes,
        "cores": sum(asdict(spent).values()) / elapsed, "failed": after.failed,
    }  # fmt: skip


def _spread(clients: list[Client], every_seconds: float, seconds: float) -> Any:
    """Each begins at its own time within the first interval."""
    for number, client in enumerate(clients):
        client.begin_after = every_seconds * number / len(clients)
    return send_for(clients, seconds, every_seconds=every_seconds)


def _sending_seconds(stamp: Stamp) -> float:
    """Processor seconds for one snapshot's requests, on the generator's side."""
    started = time.process_time()
    for sequence in range(20):
        stamp.requests("run", sequence)
    return (time.process_time() - started) / 20


def claims(found: dict[str, Any]) -> list[Claim]:
    """What was measured, over what was predicted."""
    told = [Claim(claim="most, predicted", value=found["rows"][0]["most_per_s"], unit="1/s")]
    for row in found["rows"]:
        of = f"{row['share']:g} of the most"
        told += [
            Claim(claim=f"{of}: judged", value=row["judged_per_s"], unit="1/s"),
            Claim(claim=f"{of}: judged / predicted",
                  value=row["judged_per_s"] / row["predicted_judged_per_s"], unit="x"),
            Claim(claim=f"{of}: queue grows by", value=row["growth_per_s"], unit="1/s"),
            Claim(claim=f"{of}: predicted", value=row["predicted_growth_per_s"], unit="1/s"),
            Claim(claim=f"{of}: rows / predicted",
                  value=row["rows"] / row["predicted_rows"], unit="x"),
            Claim(claim=f"{of}: bytes of blobs / predicted",
                  value=row["blob_bytes"] / row["predicted_blob_bytes"], unit="x"),
        ]  # fmt: skip
    return told


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object a claim")
    parser.add_argument("--quick", action="store_true", help="tiny numbers, kept nowhere")
    parser.add_argument("--database", choices=DATABASES, default="SQLite")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--tensors", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each rate")
    parser.add_argument("--shares", type=float, nargs="+", default=list(SHARES))
    asked = parser.parse_args()
    if asked.quick:
        asked.runs, asked.tensors, asked.seconds, asked.shares = 4, 20, 5.0, [0.5, 2.0]
    return asked


if __name__ == "__main__":
    raise SystemExit(main())
