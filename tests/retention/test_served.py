"""A server that thins by itself: no spike is lost to whoever reads it, answers say what is gone."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.retention.conftest import Past
from tests.server import Server, wait_for


def test_a_spike_in_a_thinned_past_is_read_in_rest_and_on_the_page(
    past: Past, start_server: Callable[..., Server], tmp_path: Path
) -> None:
    past.database.close()
    (tmp_path / "test.db").rename(tmp_path / "bifurk.db")
    server = start_server(tmp_path, BIFURK_KEEP_BYTES_PER_RUN="1")
    run = f"/api/v1/runs/{past.run.id}"
    [[first, last]] = wait_for(lambda: server.get(run)["thinned"], "a thinned past")
    written = {(of, at): value for (of, at), value in past.run.values.items() if at <= last}
    items = server.get(f"{run}/series?stat=std&to={last}")["items"]
    for one in items:
        assert one["thinned"] == [[10, last]] == [[first, last]]
        assert len(one["steps"]) < last / 10
        check_extremes(one["tensor"]["id"], one["values"], written)
    lines = csv.DictReader(
        io.StringIO(server.get(f"/runs/{past.run.id}/figures/overview.csv?stat=std"))
    )
    rows = [(row["tensor"], int(row["step"]), float(row["std"])) for row in lines]
    for one in items:
        name = one["tensor"]["name"]
        values = [value for tensor, step, value in rows if tensor == name and step <= last]
        check_extremes(one["tensor"]["id"], values, written)

    tensor = past.run.tensors[0]
    status, problem = server.request("GET", f"{run}/tensors/{tensor}/statistics?step=10")
    assert status == 404
    assert "step 10 is thinned" in problem["detail"]
    status, problem = server.request("GET", f"{run}/tensors/{tensor}/distribution?step=10")
    assert status == 404
    assert "step 10 is thinned" in problem["detail"]
    assert "bifurk_runs_over_budget" in server.get("/metrics")


def check_extremes(
    tensor: int, values: list[float | None], written: dict[tuple[int, int], float]
) -> None:
    own = [value for (of, _), value in written.items() if of == tensor]
    known = np.array(values, dtype=np.float64)
    assert np.nanmax(known) == np.nanmax(own)
    assert np.nanmin(known) == np.nanmin(own)
