"""The tables of ``docs/scale.md``, from what was measured and what the model makes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from loading.capacity import Costs, Fleet, House, Line, costs_from, needs, saturation
from trainings.page import table

Found = Mapping[str, Any]

FLEETS: Final = (
    ("one run of 200 tensors, a snapshot a minute",
     Fleet(runs=1, tensors=200, every_seconds=60.0)),
    ("20 runs of 200 tensors, a snapshot a minute",
     Fleet(runs=20, tensors=200, every_seconds=60.0)),
    ("1,000 runs of 10,000 tensors, a snapshot a minute",
     Fleet(runs=1_000, tensors=10_000, every_seconds=60.0)),
    ("the same, a snapshot in 10 minutes",
     Fleet(runs=1_000, tensors=10_000, every_seconds=600.0)),
    ("the same, a snapshot an hour",
     Fleet(runs=1_000, tensors=10_000, every_seconds=3_600.0)),
    ("10^12 parameters in 60,000 tensors, a snapshot in 10 minutes",
     Fleet(runs=1, tensors=60_000, every_seconds=600.0)),
)  # fmt: skip


def costs_of(load: Found, database: str) -> Costs:
    """What the model takes, with what a spectrum costs."""
    costs = costs_from(load["tensors"], database)
    one = load["workers"][0]
    seconds = one["cpu_ms"] / 1e3 / SPECTRA_A_SNAPSHOT
    return replace(costs, spectrum_seconds=seconds, spectrum_shape=(1_536, 1_536))


SPECTRA_A_SNAPSHOT: Final = 2


def tables(load: Found, simulation: Found) -> dict[str, str]:
    """Every table of the page, by its marker."""
    return {
        "clients": _clients(load["clients"]),
        "tensors": _tensors(load["tensors"]),
        "stored": _stored(load["stored"]),
        "memory": _memory(load["memory"]),
        "shards": _shards(load["shards"]),
        "workers": _workers(load["workers"]),
        "costs": _costs(load),
        "simulation": _simulation(simulation),
        "fleets": _fleets(load),
    }


def _clients(rows: Sequence[Found]) -> str:
    head = ["", "clients", "acknowledged", "judged", "p50", "p99", "p99 with waits", "refused",
            "generator"]  # fmt: skip
    return table(
        head,
        [
            [
                row["database"], str(row["clients"]), f"{row['acknowledged_per_s']:.0f}/s",
                f"{row['judged_per_s']:.0f}/s", _ms(row["p50_ms"]), _ms(row["p99_ms"]),
                _ms(row["waited_p99_ms"]), _refused(row),
                f"{row['generator_cores']:.2f} cores",
            ]
            for row in rows
        ],
    )  # fmt: skip


def _tensors(rows: Sequence[Found]) -> str:
    head = ["", "tensors", "acknowledged", "measured", "judged", "server", "worker", "database",
            "REST series, p95", "memory: server", "worker"]  # fmt: skip
    return table(
        head,
        [
            [
                row["database"], f"{row['tensors']:,}", _ms(1e3 * row["acknowledged_s"]),
                _ms(1e3 * row["measured_s"]), _ms(1e3 * row["judged_s"]),
                *(_ms(1e3 * row["cpu"][name]) for name in ("server", "workers", "database")),
                _ms(row["rest_p95_ms"]), f"{row['server_mib']:,.0f} MiB",
                f"{row['workers_mib']:,.0f} MiB",
            ]
            for row in rows
        ],
    )  # fmt: skip


def _stored(rows: Sequence[Found]) -> str:
    columns: list[tuple[str, Callable[[Found], str]]] = [
        ("", lambda row: row["database"]),
        ("stored", lambda row: f"{row['stored']:,}"),
        ("acknowledged", lambda row: _ms(row["acknowledged_ms"])),
        ("measured", lambda row: _ms(row["measured_ms"])),
        ("judged", lambda row: _ms(row["judged_ms"])),
        ("processor time", lambda row: _ms(row["cpu_ms"])),
        ("REST series, p95", lambda row: _ms(row["rest_p95_ms"])),
        ("page of snapshots", lambda row: _ms(row["snapshots_page_ms"])),
        ("run", lambda row: _ms(row["run_ms"])),
        ("`/metrics`", lambda row: _ms(row["metrics_ms"])),
        ("list of runs", lambda row: _ms(row["runs_list_ms"])),
        ("run page", lambda row: _ms(row["run_page_ms"])),
        ("sweep", lambda row: f"{row['sweep_s']:.2f} s"),
        ("start", lambda row: f"{row['ready_s']:.1f} s"),
        ("database", lambda row: _bytes(row["database_bytes"])),
    ]
    return table(
        [name for name, _ in columns], [[told(row) for _, told in columns] for row in rows]
    )


def _memory(row: Found) -> str:
    return table(
        ["", "growth in 1,000 parts", "95 % interval", "at the end"],
        [
            [
                name,
                f"{row[name]['mib_per_1000']:+.2f} MiB",
                f"{row[name]['low']:+.2f} to {row[name]['high']:+.2f} MiB",
                f"{row[f'{name}_mib']:.0f} MiB",
            ]
            for name in ("server", "workers")
        ],
    )


def _workers(rows: Sequence[Found]) -> str:
    first = rows[0]["per_s"]
    return table(
        ["workers", "snapshots", "seconds", "snapshots a second", "ratio"],
        [
            [str(row["workers"]), str(row["snapshots"]), f"{row['seconds']:.1f}",
             f"{row['per_s']:.2f}", f"{row['per_s'] / first:.2f}"]
            for row in rows
        ],
    )  # fmt: skip


def _shards(rows: Sequence[Found]) -> str:
    return table(
        ["ranks", "elements of a shard", "a shard", "a tensor, all ranks together"],
        [
            [f"{row['ranks']:,}", f"{row['elements']:,}", _bytes(row["shard_bytes"]),
             _bytes(row["tensor_bytes"])]
            for row in rows
        ],
    )  # fmt: skip


def _costs(load: Found) -> str:
    names = dict.fromkeys(row["database"] for row in load["tensors"])
    found = {name: costs_of(load, name) for name in names}
    rows: list[tuple[str, str, Callable[[float], str]]] = [
        ("server: takes in, keeps, judges", "server", _seconds),
        ("of that, until it acknowledges", "taking_in", _seconds),
        ("worker: measures, without spectra", "workers", _seconds),
        ("PostgreSQL's processes", "database", _seconds),
        ("sent", "wire", _bytes),
        ("kept in blobs", "blobs", _bytes),
        ("added to the database", "rows", _bytes),
        ("detectors' memory, an attempt", "memory", _bytes),
    ]
    told = []
    for name, read, unit in rows:
        cells = [name]
        for costs in found.values():
            line: Line = getattr(costs, read)
            cells += [unit(line.fixed), unit(line.each)]
        told.append(cells)
    heads = [f"{name}, {part}" for name in found for part in ("a snapshot", "a tensor")]
    return table(["", *heads], told)


def _simulation(simulation: Found) -> str:
    head = ["", "of the most", "arrived", "judged", "predicted", "error", "queue grows",
            "predicted", "rows / predicted", "blobs / predicted", "cores", "predicted"]  # fmt: skip
    return table(
        head,
        [
            [
                database, f"{row['share']:g}", f"{row['arrived_per_s']:.2f}/s",
                f"{row['judged_per_s']:.2f}/s", f"{row['predicted_judged_per_s']:.2f}/s",
                f"{row['judged_per_s'] / row['predicted_judged_per_s'] - 1:+.0%}",
                f"{row['growth_per_s']:.2f}/s", f"{row['predicted_growth_per_s']:.2f}/s",
                f"{row['rows'] / row['predicted_rows']:.2f}",
                f"{row['blob_bytes'] / row['predicted_blob_bytes']:.2f}",
                f"{row['cores']:.2f}", f"{row['predicted_cores']:.2f}",
            ]
            for database, found in simulation.items()
            for row in found["rows"]
        ],
    )  # fmt: skip


def _fleets(load: Found) -> str:
    costs = costs_of(load, load["tensors"][-1]["database"])
    rows = []
    for name, fleet in FLEETS:
        found = needs(fleet, costs)
        most = saturation(fleet.tensors, costs, House(cores=1e9, workers=10**9))
        rows.append(
            [
                name, f"{fleet.snapshots_per_second:.3g}/s", f"{found.server_cores:.3g}",
                f"{found.worker_cores:.3g}", f"{found.database_cores:.3g}",
                f"{_bytes(found.wire_bytes_per_second)}/s", f"{found.rows_per_second:,.3g}/s",
                f"{_bytes(found.row_bytes_per_day)} a day",
                f"{_bytes(found.blob_bytes_per_day)} a day", _bytes(found.detector_bytes),
                f"{fleet.snapshots_per_second / most:.2g}",
            ]
        )  # fmt: skip
    head = ["", "snapshots", "server cores", "measuring cores", "PostgreSQL cores", "wire", "rows",
            "database", "blobs", "detectors' memory", "share of one server process"]  # fmt: skip
    return table(head, rows)


def _refused(row: Found) -> str:
    return f"{row['refused'] / (row['refused'] + row['parts']):.0%}"


def _ms(value: float) -> str:
    return f"{value / 1e3:.3g} s" if value >= 1e3 else f"{value:.3g} ms"


def _seconds(value: float) -> str:
    return f"{1e3 * value:.3g} ms"


def _bytes(value: float) -> str:
    for unit, size in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f} B"
