"""A server that thins by itself: no spike is lost to whoever reads it, answers say what is gone."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import xarray
from pyarrow import parquet

from bifurk_service.api.partings import parting_of
from bifurk_service.commands.export import export
from bifurk_service.store.engine import Database
from bifurk_service.store.series import find_tensors
from bifurk_service.store.thinning_blocks import unfinished_block
from tests.retention.conftest import Past
from tests.server import Server, wait_for


def test_a_spike_in_a_thinned_past_is_read_in_rest_and_on_the_page(
    past: Past,
    start_server: Callable[..., Server],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    past.database.close()
    (tmp_path / "test.db").rename(tmp_path / "bifurk.db")
    server = start_server(tmp_path, BIFURK_KEEP_BYTES_PER_RUN="1")
    past.run.database = Database(f"sqlite:///{tmp_path / 'bifurk.db'}")
    run = f"/api/v1/runs/{past.run.id}"
    [[first, last]] = wait_for(lambda: thinned(server, past), "a thinned past")
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
    status, problem = server.request("GET", f"{run}/compare?step=10&with_step=0")
    assert status == 404
    assert "step 10 of run 1 is thinned" in problem["detail"]
    assert problem["detail"].endswith("the nearest that is whole is 0")
    status, problem = server.request("GET", f"{run}/profile?against=1&against_step=20")
    assert status == 404
    assert "step 20 of run 1 is thinned" in problem["detail"]
    check_exports(server, past, tmp_path, capsys)
    past.run.database.close()


def thinned(server: Server, past: Past) -> list[list[int]]:
    """What is thinned; nothing while rows of it are still to go."""
    told: list[list[int]] = server.get(f"/api/v1/runs/{past.run.id}")["thinned"]
    with past.run.database.read() as session:
        return told if unfinished_block(session, past.run.id) is None else []


def check_exports(
    server: Server, past: Past, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files have what is whole, and say so; so does the command that writes them."""

    def exported() -> list[int] | None:
        """What is thinned, where nothing was thinned meanwhile."""
        told = thinned(server, past)
        if not told:
            return None
        [before] = told
        said = []
        for name in ("run.parquet", "run.nc"):
            export(str(past.run.id), folder / name, attempt=None, url=server.url, token=None)
            said.append(capsys.readouterr().out)
        if server.get(f"/api/v1/runs/{past.run.id}")["thinned"] != told:
            return None
        assert all(f"steps {before[0]} to {before[1]} are thinned" in one for one in said)
        return list(before)

    gone = wait_for(exported, "exports between two blocks")
    table = parquet.read_table(folder / "run.parquet")
    assert json.loads(table.schema.metadata[b"bifurk"])["thinned"] == [gone]
    dataset = xarray.open_dataset(folder / "run.nc", engine="scipy")
    assert dataset.attrs["thinned"] == f"{gone[0]} to {gone[1]}"
    steps = dataset["step"].to_numpy().tolist()
    assert steps == sorted(set(table["step"].to_pylist()))
    assert sum(step <= gone[1] for step in steps) < gone[1] / 40
    dataset.close()


def test_runs_are_held_against_each_other_at_steps_that_are_whole(past: Past) -> None:
    past.run.thin(past.blobs)
    whole = sorted({10 * sequence for sequence in past.run.whole()})
    with past.database.read() as session:
        side = past.run.id, find_tensors(session, past.run.id)
        parting = parting_of(session, side, side)
        over_extremes = parting_of(session, side, side, most_points=0)
    assert 128 < len(whole) < 640
    assert parting.common_steps == len(whole)
    assert (parting.first_difference, over_extremes.first_difference) == (None, None)
    assert (over_extremes.first_step, over_extremes.last_step) == (whole[0], whole[-1])
    assert (parting.first_step, parting.last_step) == (whole[0], whole[-1])


def check_extremes(
    tensor: int, values: list[float | None], written: dict[tuple[int, int], float]
) -> None:
    own = [value for (of, _), value in written.items() if of == tensor]
    known = np.array(values, dtype=np.float64)
    assert np.nanmax(known) == np.nanmax(own)
    assert np.nanmin(known) == np.nanmin(own)
