"""What a server takes: clients, tensors, stored snapshots, hours and workers, each for itself.

Real server processes on loopback, SQLite and a PostgreSQL that syncs what it commits; parts made
once by the client's own code and stamped anew (``loading/parts.py``), so that the load costs little
of what it measures; that share is told as well. Long runs are copied inside the database from what
the pipeline left (``loading/stored.py``), and the real thing goes on at their end.

About forty minutes on two quiet cores; ``--quick`` two, with numbers that say nothing. ``--only``
runs some sections and puts them in place of what is stored of them; ``--write-docs`` fills in the
tables of ``docs/scale.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", OMP_WAIT_POLICY="PASSIVE")

from claims import Claim, report
from loading import sections
from loading.document import tables
from loading.parts import Load
from loading.places import DATABASES
from loading.shards import RANKS, by_shards
from trainings.page import filled

RESULTS = Path(__file__).parent / "results/load.json"
PAGE = Path(__file__).parents[1] / "docs/scale.md"
SECTIONS = ("shards", "clients", "tensors", "stored", "memory", "workers")
SMALL = Load(tensors=20)
SPECTRAL = Load(tensors=2, shape=(1_536, 1_536), full=True)


def main() -> int:
    """Measures and reports; 0 when every target is met."""
    asked = _options()
    found = {}
    if RESULTS.exists() and not asked.quick:
        found = json.loads(RESULTS.read_text(encoding="utf-8"))
    for name in (one for one in asked.only if one in SECTION):
        started = time.perf_counter()
        found.setdefault("others", {})[name] = os.getloadavg()[0]
        found[name] = _beside(found.get(name), SECTION[name](asked))
        print(f"{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
        if not asked.quick:
            found["measured_on"] = f"python {platform.python_version()}, {os.cpu_count()} cores"
            RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if asked.write_docs:
        write_page(found)
    return report(claims(found), as_json=asked.json)


def write_page(found: dict[str, Any]) -> None:
    """Fills in the page's tables from what is stored."""
    simulated = json.loads((RESULTS.parent / "simulation.json").read_text(encoding="utf-8"))
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(filled(page, tables(found, simulated)), encoding="utf-8")


def _beside(known: Any, new: Any) -> Any:
    """What is measured now, and what is stored of databases that were not asked for."""
    if not isinstance(new, list) or "database" not in new[0]:
        return new
    asked = {row["database"] for row in new}
    rows = [row for row in known or [] if row["database"] not in asked] + new
    return sorted(rows, key=lambda row: DATABASES.index(row["database"]))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object a claim")
    parser.add_argument("--quick", action="store_true", help="tiny numbers, kept nowhere")
    parser.add_argument("--only", nargs="+", choices=(*SECTIONS, "nothing"), default=list(SECTIONS))
    parser.add_argument("--write-docs", action="store_true", help="fill in docs/scale.md")
    parser.add_argument("--databases", nargs="+", choices=DATABASES, default=list(DATABASES))
    return parser.parse_args()


def _clients(asked: argparse.Namespace) -> list[dict[str, Any]]:
    counts, seconds = ((1, 4), 2.0) if asked.quick else ((1, 8, 64), 12.0)
    return [
        sections.throughput(database, count, seconds=seconds, load=SMALL)
        for database in asked.databases
        for count in counts
    ]


def _tensors(asked: argparse.Namespace) -> list[dict[str, Any]]:
    sizes = ((10, 2, 1), (100, 2, 2)) if asked.quick else (
        (100, 8, 1), (1_000, 6, 1), (10_000, 3, 4)
    )  # fmt: skip
    return [
        sections.by_tensors(database, tensors, snapshots=snapshots, ranks=ranks)
        for database in asked.databases
        for tensors, snapshots, ranks in sizes
    ]


def _stored(asked: argparse.Namespace) -> list[dict[str, Any]]:
    lengths = [50, 200] if asked.quick else [100, 1_000, 10_000, 100_000]
    return [
        row
        for database in asked.databases
        for row in sections.by_length(
            database, lengths, snapshots=3 if asked.quick else 10, tensors=4
        )
    ]


def _memory(asked: argparse.Namespace) -> dict[str, Any]:
    return sections.memory(parts=320 if asked.quick else 7_200, clients=4, load=Load(tensors=4))


def _workers(asked: argparse.Namespace) -> list[dict[str, Any]]:
    snapshots, turns = (8, 1) if asked.quick else (10, 3)
    return sections.two_workers(runs=4, snapshots=snapshots, turns=turns, load=SPECTRAL)


def _shards(_asked: argparse.Namespace) -> list[dict[str, Any]]:
    return [by_shards(ranks) for ranks in RANKS]


SECTION = {
    "shards": _shards,
    "clients": _clients,
    "tensors": _tensors,
    "stored": _stored,
    "memory": _memory,
    "workers": _workers,
}


def claims(found: dict[str, Any]) -> list[Claim]:
    """Figures against targets."""
    told: list[Claim] = []
    for row in found.get("clients", []):
        of = f"{row['database']}, {row['clients']} clients"
        told += [
            Claim(claim=f"{of}: acknowledged", value=row["acknowledged_per_s"], unit="1/s"),
            Claim(claim=f"{of}: judged", value=row["judged_per_s"], unit="1/s"),
            Claim(claim=f"{of}: acknowledgement, median", value=row["p50_ms"], unit="ms"),
            Claim(claim=f"{of}: acknowledgement, 99th percentile", value=row["p99_ms"], unit="ms"),
        ]
    for row in found.get("tensors", []):
        of = f"{row['database']}, {row['tensors']} tensors"
        told += [
            Claim(claim=f"{of}: acknowledged", value=1e3 * row["acknowledged_s"], unit="ms"),
            Claim(claim=f"{of}: judged", value=1e3 * row["judged_s"], unit="ms"),
            Claim(claim=f"{of}: REST series, 95th percentile", value=row["rest_p95_ms"], unit="ms"),
        ]
    told += _of_lengths(found.get("stored", []))
    if memory := found.get("memory"):
        for name in ("server", "workers"):
            told.append(
                Claim(claim=f"memory of {name}, growth in 1,000 parts, upper bound",
                      value=memory[name]["high"], unit="MiB")
            )  # fmt: skip
    if workers := found.get("workers"):
        ratio = workers[1]["per_s"] / workers[0]["per_s"]
        told.append(
            Claim(claim="two workers / one, spectra", value=ratio, unit="x", target=1.7,
                  better="higher")
        )  # fmt: skip
    return told


def _of_lengths(rows: list[dict[str, Any]]) -> list[Claim]:
    told = []
    for row in rows:
        shortest = next(one for one in rows if one["database"] == row["database"])
        of = f"{row['database']}, {row['stored']} stored"
        told += [
            Claim(claim=f"{of}: processor time a snapshot / shortest run",
                  value=row["cpu_ms"] / shortest["cpu_ms"], unit="x"),
            Claim(claim=f"{of}: judged", value=row["judged_ms"], unit="ms"),
            Claim(claim=f"{of}: REST series, 95th percentile", value=row["rest_p95_ms"], unit="ms"),
        ]  # fmt: skip
    return told


if __name__ == "__main__":
    raise SystemExit(main())
