"""A run in one file: Parquet that any reader takes, and an xarray dataset."""

from __future__ import annotations

import io
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import urllib3
from starlette.testclient import TestClient

import bifurk_service
from bifurk_service.api import exports
from bifurk_service.app import create_app
from bifurk_service.errors import BifurkError
from bifurk_service.settings import Settings
from bifurk_service.stats.registry import BY_NAME, STATISTICS
from bifurk_service.store.engine import Database
from bifurk_service.store.exporting import ExportSelection, export_rows
from bifurk_service.store.series import find_tensors
from tests.api.filling import SNAPSHOTS, Caller, Filled, broken_part
from tests.asking import asked
from tests.database import migrated

STEPS = [sequence * 10 for sequence in range(SNAPSHOTS)]


def download(caller: Caller, path: str) -> urllib3.BaseHTTPResponse:
    answer = asked("GET", caller.server.url + path, headers=caller.headers)
    assert answer.status == 200, answer.data
    return answer


def table(caller: Caller, run: int, query: str = "") -> Any:
    return pq.read_table(io.BytesIO(download(caller, f"/api/v1/runs/{run}/export{query}").data))


def test_every_statistic_of_every_tensor_and_step_is_in_it(anyone: Caller, filled: Filled) -> None:
    rows = table(anyone, filled.run).to_pylist()
    tensors = anyone.get(f"/api/v1/runs/{filled.run}/tensors")["items"]
    assert [(row["tensor_id"], row["step"]) for row in rows] == [
        (tensor["id"], step) for tensor in tensors for step in STEPS
    ]
    for row in rows:
        path = f"/api/v1/runs/{filled.run}/tensors/{row['tensor_id']}/statistics"
        at = anyone.get(f"{path}?step={row['step']}")
        assert {name: row[name] for name in BY_NAME} == at["values"]
        assert (row["tensor"], row["layer"], row["role"]) == (
            at["tensor"]["name"], at["tensor"]["layer"], at["tensor"]["role"],
        )  # fmt: skip


def test_the_file_says_what_is_in_it(anyone: Caller, filled: Filled) -> None:
    answer = download(anyone, f"/api/v1/runs/{filled.run}/export")
    assert answer.headers["content-type"] == "application/vnd.apache.parquet"
    assert 'filename="tests-run.parquet"' in answer.headers["content-disposition"]
    schema = pq.read_schema(io.BytesIO(answer.data))
    assert json.loads(schema.metadata[b"bifurk"])["run_id"] == filled.run
    assert schema.field("std").metadata[b"unit"] == b"weight"
    assert b"gaussian" in schema.field("shape_class").metadata[b"labels"]
    assert schema.names[-len(STATISTICS) :] == [statistic.name for statistic in STATISTICS]


def test_a_part_of_it_is_exported(anyone: Caller, filled: Filled) -> None:
    some = table(anyone, filled.run, "?stat=std&stat=mean&role=bias&from=10&to=20")
    assert some.column_names[-2:] == ["mean", "std"]
    assert set(some["role"].to_pylist()) == {"bias"}
    assert set(some["step"].to_pylist()) == {10, 20}
    assert table(anyone, filled.run, "?from=1000").num_rows == 0


@pytest.mark.parametrize("most_rows", [1, 2, 5, 6, 7, 24, 1000])
def test_it_is_read_in_stretches_that_make_one_whole(
    anyone: Caller, filled: Filled, most_rows: int
) -> None:
    database = Database(Settings(data_dir=anyone.server.data_dir).resolved_database_url)
    with database.read() as session:
        tensors = find_tensors(session, filled.run)
    selection = ExportSelection(tensors=tensors, statistics=["std", "skewness"])
    groups = list(export_rows(database, filled.run, selection, most_rows=most_rows))
    database.close()
    assert max(group.steps.size for group in groups) <= most_rows
    steps = np.concatenate([group.steps for group in groups])
    assert steps.tolist() == STEPS * len(tensors)
    values = np.concatenate([group.values for group in groups])
    whole = table(anyone, filled.run)
    assert np.array_equal(values[:, 0], whole["std"].to_numpy(), equal_nan=True)


def test_a_resumed_run_is_one_course(anyone: Caller) -> None:
    for sequence in range(4):
        anyone.post_part(broken_part(sequence, project="export", run="resumed"))
    run = anyone.run_id("export", "resumed")
    anyone.wait_until_judged(run, 4)
    for sequence, (step, before) in enumerate([(20, None), (30, 20)]):
        again = {"attempt": "second", "step": step, "previous_step": before}
        anyone.post_part(broken_part(sequence, project="export", run="resumed", **again))
    anyone.wait_until_judged(run, 6)
    found = table(anyone, run, "?tensor=*up.weight")
    assert found["step"].to_pylist() == [0, 10, 20, 30]
    first, _, again, _ = found["std"].to_pylist()
    assert first == again


def test_one_call_gives_a_dataset(anyone: Caller, filled: Filled) -> None:
    for name in (filled.run, "tests/run"):
        data = bifurk_service.dataset(anyone.server.url, name)
        assert dict(data.sizes) == {"tensor": 4, "step": SNAPSHOTS}
        assert data["step"].values.tolist() == STEPS
    assert (data.attrs["project"], data.attrs["run"]) == ("tests", "run")
    assert data["std"].attrs["units"] == "weight"
    series = anyone.get(f"/api/v1/runs/{filled.run}/series?stat=std")["items"]
    for one in series:
        values = data["std"].sel(tensor=one["tensor"]["name"]).values.tolist()
        assert values == [np.nan if value is None else value for value in one["values"]]
    assert data["role"].values.tolist() == [one["tensor"]["role"] for one in series]
    assert data["layer"].values.tolist() == [0.0] * 4
    assert np.isnan(data["update_ratio"].sel(step=0)).all()


def test_a_dataset_of_a_run_that_is_not_there_is_a_clear_error(anyone: Caller) -> None:
    with pytest.raises(BifurkError, match="no run 'nowhere'"):
        bifurk_service.dataset(anyone.server.url, "nowhere")


def test_what_is_missing_is_named(
    anyone: Caller, filled: Filled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(BifurkError, match=r"needs xarray; pip install 'bifurk\[service,export\]'"):
        bifurk_service.dataset(anyone.server.url, filled.run)


def test_a_server_without_pyarrow_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    migrated(tmp_path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "bifurk_service.api.parquet", raising=False)
    monkeypatch.delattr("bifurk_service.api.parquet", raising=False)
    app = create_app(Settings(data_dir=tmp_path), make_executor=ThreadPoolExecutor)
    answer = TestClient(app, base_url="http://localhost").get("/api/v1/runs/1/export")
    assert answer.status_code == 503
    assert exports.EXTRA in answer.json()["detail"]


def test_what_cannot_be_exported_is_said(anyone: Caller, filled: Filled) -> None:
    for status, query in ((422, "?stat=beauty"), (404, "?tensor=nothing"), (422, "?from=-1")):
        answered, problem = anyone.request("GET", f"/api/v1/runs/{filled.run}/export{query}")
        assert (answered, problem["status"]) == (status, status)
