"""The arithmetic of docs/scale.md, and that the load behind it is what clients send."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from bifurk.wire import decode

PROJECT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _benchmarks_are_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(PROJECT / "benchmarks"), *sys.path])


def row(tensors: int, **other: Any) -> dict[str, Any]:
    """As ``load.py`` would measure costs that are lines."""
    cpu = {
        "server": 0.01 + 1e-4 * tensors,
        "taking_in": 0.01,
        "workers": 0.02 + 1e-3 * tensors,
        "database": 0.0,
    }
    return {
        "database": "SQLite",
        "tensors": tensors,
        "cpu": cpu,
        "wire_bytes": 1_000 + 9_000 * tensors,
        "blob_bytes": 9_000 * tensors,
        "database_bytes": 600 * tensors,
        "state_bytes": 37_000 * tensors,
        **other,
    }


def test_lines_are_found_again_and_never_begin_below_zero() -> None:
    from loading.capacity import Line, costs_from, line_through

    costs = costs_from([row(100), row(1_000), row(10_000)], "SQLite")
    assert costs.server.fixed == pytest.approx(0.01)
    assert costs.server.each == pytest.approx(1e-4)
    assert costs.wire.at(200) == pytest.approx(1_801_000)
    assert costs.database == Line(fixed=0.0, each=0.0)
    assert line_through([(10, 1.0), (100, 100.0)]).fixed == 0.0


def test_a_queue_grows_beyond_what_is_used_up_first() -> None:
    from loading.capacity import House, costs_from, judged, saturation

    costs = costs_from([row(100), row(1_000)], "SQLite")
    # 0.03 s of the server's core, 0.22 s of a worker's: the worker is the first.
    assert saturation(200, costs, House(cores=8)) == pytest.approx(1 / 0.22)
    assert saturation(200, costs, House(cores=16, workers=16)) == pytest.approx(1 / 0.03)
    assert saturation(200, costs, House(cores=2, workers=16, servers=16), other=0.05) == (
        pytest.approx(2 / 0.30)
    )
    assert judged(3.0, 200, costs, House(cores=8)) == 3.0
    assert judged(9.0, 200, costs, House(cores=8)) == pytest.approx(1 / 0.22)
    # Ten a second take 0.1 of the server's core; of the rest a judged one takes 0.02.
    assert judged(10.0, 2_000, costs, House(cores=99, workers=99)) == pytest.approx(0.9 / 0.2)
    assert judged(200.0, 200, costs, House(cores=8)) == 0.0
    # A sixth of what the cores do is taken by what arrives.
    crowded = House(cores=0.24, workers=9)
    assert judged(4.0, 200, costs, crowded) == pytest.approx((0.24 - 0.04) / 0.24)
    assert costs.busy(4.0, 2.0, 200) == pytest.approx(4 * 0.01 + 2 * 0.24)


def test_needs_of_a_fleet() -> None:
    from dataclasses import replace

    from loading.capacity import Fleet, costs_from, needs

    costs = replace(
        costs_from([row(100), row(1_000)], "SQLite"),
        spectrum_seconds=0.1,
        spectrum_shape=(512, 512),
    )
    fleet = Fleet(runs=1_000, tensors=10_000, every_seconds=500.0, spectra=2,
                  spectrum_shape=(512, 1_024))  # fmt: skip
    found = needs(fleet, costs)
    assert fleet.snapshots_per_second == 2.0
    assert found.rows_per_second == 20_000
    assert found.worker_cores == pytest.approx(2 * 10.02)
    assert found.spectra_cores == pytest.approx(2 * 2 * 0.2)
    assert found.row_bytes_per_day == pytest.approx(86_400 * 2 * 600 * 10_000)
    assert found.detector_bytes == pytest.approx(1_000 * 370e6)


def test_what_is_stamped_is_what_the_client_would_send() -> None:
    from loading.parts import EVERY, Load, Stamp

    stamp = Stamp(Load(tensors=6, shape=(160, 128), full=True, ranks=2))
    requests = stamp.requests("some-run", 3)
    parts = [decode(request.body) for request in requests]
    assert [part.manifest.rank for part in parts] == [0, 1]
    for request, part in zip(requests, parts, strict=True):
        said = part.manifest
        assert (said.run, said.sequence, said.step) == ("some-run", 3, 3 * EVERY)
        assert (said.previous_step, said.expected_parts) == (2 * EVERY, 2)
        assert f"/runs/some-run/attempts/first/snapshots/{said.step}/parts/" in request.path
    names = [tensor.name for part in parts for tensor in part.tensors]
    assert len(set(names)) == 6
    samples = [tensor.sample.data.tobytes() for part in parts for tensor in part.tensors
               if tensor.sample is not None]  # fmt: skip
    assert len(set(samples)) == 6
    assert decode(stamp.requests("some-run", 0)[0].body).manifest.previous_step is None


def test_a_server_takes_the_load_and_a_run_is_made_long_in_the_database() -> None:
    from loading import sections

    rows = sections.by_length("SQLite", [100], snapshots=2, tensors=2)
    assert rows[0]["stored"] == 100
    assert rows[0]["judged_ms"] > 0


def test_the_page_tells_what_was_measured() -> None:
    page = (PROJECT / "docs/scale.md").read_text(encoding="utf-8")
    from loading.document import tables
    from trainings.page import filled

    results = PROJECT / "benchmarks/results"
    load = json.loads((results / "load.json").read_text(encoding="utf-8"))
    simulation = json.loads((results / "simulation.json").read_text(encoding="utf-8"))
    assert filled(page, tables(load, simulation)) == page
