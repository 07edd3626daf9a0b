"""A token that is revoked in the middle of a run: all waits for a new one, the training goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.deploy.tokens import create_token, said
from tests.faults.rest import snapshots
from tests.faults.training import SNAPSHOTS, STEPS, Training, encoded, unwatched
from tests.server import Server, wait_for

MORE_SNAPSHOTS = 3


def test_what_a_revoked_token_may_not_send_is_sent_with_the_next(
    start_server: Callable[..., Server],
    tmp_path: Path,
    spool_dir: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data_dir = tmp_path / "data"
    server = start_server(data_dir)
    token = create_token(data_dir, "write")
    admin = create_token(data_dir, "admin")
    where = {"url": server.url, "spool_dir": spool_dir}
    training = Training()
    monitor = training.watch("revoked", attempt="first", token=token, **where)
    training.run(monitor)
    assert monitor.flush()
    said({"BIFURK_DATA_DIR": str(data_dir)}, "token", "revoke", "1")
    training.run(monitor)
    encoded(monitor)
    refusal = "token missing or refused (401): set BIFURK_TOKEN"
    wait_for(lambda: refusal in caplog.text, "the refusal")
    assert not monitor.flush(0.2)
    monitor.close(deadline_seconds=0.5)
    assert training.outcome() == unwatched(2 * STEPS)

    following = Training()
    following.watch("revoked", attempt="second", token=admin, **where).close()
    assert list(spool_dir.iterdir()) == []
    monkeypatch.setattr(server, "request", with_token(server.request, admin))
    [run] = server.get("/api/v1/runs?run=revoked")["items"]
    judged = server.wait_until_judged(run["id"], SNAPSHOTS + MORE_SNAPSHOTS)
    first = judged["attempts"][0]
    assert (first["attempt"], first["state"], first["dropped"]) == ("first", "finished", {})
    arrived = snapshots(server, run["id"], "first")
    assert [one["sequence"] for one in arrived] == list(range(SNAPSHOTS + MORE_SNAPSHOTS))


def with_token(request: Callable[..., object], token: str) -> Callable[..., object]:
    """Requests of somebody who has a token."""
    return lambda method, path: request(method, path, headers={"Authorization": f"Bearer {token}"})
