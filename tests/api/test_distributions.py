"""A distribution is drawn from the stored part, and what is wrong with that part is said."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.filling import Caller
from tests.parts import make_part
from tests.server import Server


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Caller]:
    """Of a server whose stored parts the tests may break."""
    server = Server(tmp_path_factory.mktemp("distributions") / "data")
    yield Caller(server)
    server.stop()


def judged_run(caller: Caller, run: str) -> tuple[str, Path]:
    """A run of one snapshot: where its first tensor's distribution is, and its one blob."""
    caller.post_part(make_part(0, run=run, full=False))
    run_id = caller.run_id("tests", run)
    caller.wait_until_judged(run_id, 1)
    [tensor, *_] = caller.get(f"/api/v1/runs/{run_id}/tensors")["items"]
    [blob] = (caller.server.data_dir / "blobs" / "tests" / run).rglob("*.part")
    return f"/api/v1/runs/{run_id}/tensors/{tensor['id']}/distribution", blob


def cut_short(blob: Path) -> None:
    blob.write_bytes(blob.read_bytes()[:-10])


def replaced_by_a_folder(blob: Path) -> None:
    blob.unlink()
    blob.mkdir()


@pytest.mark.parametrize(
    ("breaking", "status", "said"),
    [
        (cut_short, 503, "is damaged"),
        (replaced_by_a_folder, 503, "cannot be read"),
        (Path.unlink, 404, "no longer kept"),
    ],
)
def test_a_stored_part_that_cannot_be_read_is_a_clear_problem(
    caller: Caller, breaking: Callable[[Path], Any], status: int, said: str
) -> None:
    path, blob = judged_run(caller, breaking.__name__)
    assert caller.request("GET", path)[0] == 200
    breaking(blob)
    answered, problem = caller.request("GET", path)
    assert (answered, problem["status"]) == (status, status)
    assert said in problem["detail"]
    assert caller.request("GET", "/healthz")[0] == 200


def test_lowered_limits_do_not_hide_what_is_stored(
    server: Server, start_server: Callable[..., Server]
) -> None:
    path, _ = judged_run(Caller(server), "run")
    before = server.get(path)
    server.stop()
    strict = start_server(server.data_dir, BIFURK_MAX_DECODED_BYTES="1024", BIFURK_MAX_TENSORS="1")
    assert strict.get(path) == before
