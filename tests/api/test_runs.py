"""Runs as REST tells of them: found, described, changed, deleted."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from bifurk_service.settings import Settings
from tests.api.filling import SNAPSHOTS, Caller, Filled, broken_part
from tests.server import wait_for


def patch(caller: Caller, run_id: int, **change: Any) -> tuple[int, Any]:
    body = json.dumps(change).encode()
    headers = {"Content-Type": "application/json"}
    return caller.request("PATCH", f"/api/v1/runs/{run_id}", body=body, headers=headers)


def test_a_run_is_found_by_project_and_name(anyone: Caller, filled: Filled) -> None:
    [run] = anyone.get("/api/v1/runs?project=tests&run=run")["items"]
    assert (run["id"], run["state"], run["last_step"]) == (filled.run, "finished", 50)
    assert run["alerts"]["critical"] == 1
    assert anyone.get("/api/v1/runs?project=other&run=run")["items"] == []


def test_a_run_says_where_its_snapshots_are_and_how_ready_its_verdicts_are(
    anyone: Caller, filled: Filled
) -> None:
    run = anyone.get(f"/api/v1/runs/{filled.run}")
    assert run["snapshots"] == {
        "received": 0, "measured": 0, "judged": SNAPSHOTS, "late": 0, "failed": 0,
        "total": SNAPSHOTS,
    }  # fmt: skip
    assert run["readiness"]["text"] == "6 of 60 snapshots; first verdict near step 110"
    assert (run["readiness"]["judged"], run["readiness"]["has_verdict"]) == (6, False)
    assert run["scalars"] == ["loss", "train/loss"]
    [attempt] = run["attempts"]
    assert (attempt["attempt"], attempt["state"], attempt["dropped"]) == ("first", "finished", {})


def test_a_run_without_snapshots_is_described_too(anyone: Caller) -> None:
    anyone.report("empty", "run")
    run = anyone.get(f"/api/v1/runs/{anyone.run_id('empty', 'run')}")
    assert (run["state"], run["last_step"], run["snapshots"]["total"]) == ("running", None, 0)
    assert run["readiness"]["first_verdict_step"] is None


def test_tensors_come_in_the_order_of_the_model(anyone: Caller, filled: Filled) -> None:
    names = [part.name for part in broken_part(0).tensors]
    tensors = anyone.get(f"/api/v1/runs/{filled.run}/tensors")["items"]
    assert [tensor["name"] for tensor in tensors] == names
    assert tensors[0]["shape"] == list(broken_part(0).tensors[0].shape)


def test_tensors_are_found_by_glob_layer_and_role(anyone: Caller, filled: Filled) -> None:
    def names(query: str) -> list[str]:
        found = anyone.get(f"/api/v1/runs/{filled.run}/tensors?{query}")["items"]
        return [tensor["name"] for tensor in found]

    biases = [part.name for part in broken_part(0).tensors if part.role == "bias"]
    assert names("role=bias") == names("name=*bias") == names("name=*b?as") == biases
    assert names("layer=7") == []
    everything = [part.name for part in broken_part(0).tensors if part.layer == 0]
    assert names("layer=0") == everything


def test_a_glob_minds_the_case(anyone: Caller, filled: Filled) -> None:
    tensors = f"/api/v1/runs/{filled.run}/tensors"
    assert anyone.get(f"{tensors}?name=blocks*")["items"]
    assert anyone.get(f"{tensors}?name=BLOCKS*")["items"] == []


def test_a_glob_knows_no_other_wildcards(anyone: Caller, filled: Filled) -> None:
    for glob in ("%25", "_" * 20, "[a-z]*", "%5C", "*%5C*", "*'*", "*;--", "*%25bias", "blocks_0*"):
        assert anyone.get(f"/api/v1/runs/{filled.run}/tensors?name={glob}")["items"] == []


def test_marks_come_by_step(anyone: Caller, filled: Filled) -> None:
    marks = anyone.get(f"/api/v1/runs/{filled.run}/marks")["items"]
    assert [mark["step"] for mark in marks] == [sequence * 10 for sequence in range(SNAPSHOTS)]
    assert marks[3] == {"kind": "checkpoint", "step": 30, "details": {"path": "ckpt/3.pt"}}


def test_what_is_changed_is_changed_and_the_rest_stays(anyone: Caller) -> None:
    anyone.report("changing", "run")
    run_id = anyone.run_id("changing", "run")
    assert patch(anyone, run_id, display_name="Größer 😀")[0] == 200
    status, run = patch(anyone, run_id, retention_days=7)
    assert (status, run["display_name"], run["retention_days"]) == (200, "Größer 😀", 7)
    _, run = patch(anyone, run_id, retention_days=None)
    assert (run["display_name"], run["retention_days"]) == ("Größer 😀", None)
    assert anyone.get(f"/api/v1/runs/{run_id}") == run


def test_a_deleted_run_leaves_nothing(anyone: Caller) -> None:
    for sequence in range(2):
        anyone.post_part(broken_part(sequence, project="deleted", run="run"))
    run_id = anyone.run_id("deleted", "run")
    anyone.wait_until_judged(run_id, 2)
    blobs = Path(Settings(data_dir=anyone.server.data_dir).resolved_blob_url) / "deleted"
    assert files_in(blobs)
    assert anyone.request("DELETE", f"/api/v1/runs/{run_id}")[0] == 204
    assert anyone.request("GET", f"/api/v1/runs/{run_id}")[0] == 404
    assert anyone.request("DELETE", f"/api/v1/runs/{run_id}")[0] == 404
    assert anyone.get("/api/v1/runs?project=deleted")["items"] == []
    # An answer waits for a while; what is left then goes by and by.
    wait_for(lambda: not files_in(blobs), "the end of the run's blobs")


def files_in(folder: Path) -> list[str]:
    return [name for _, _, names in os.walk(folder) for name in names]
