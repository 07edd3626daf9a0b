"""What REST says of a run after a fault, in the words of these tests."""

from __future__ import annotations

from typing import Any

from tests.faults.training import PROJECT
from tests.server import Server, wait_for


def find_run(server: Server, run: str) -> int | None:
    """The run's id; None when the server has never heard of it."""
    items = server.get(f"/api/v1/runs?project={PROJECT}&run={run}")["items"]
    return items[0]["id"] if items else None


def settled(server: Server, run: str, *, judged: int) -> dict[str, Any]:
    """The run once this many snapshots are judged and none waits any more."""
    run_id: int = wait_for(lambda: find_run(server, run), f"run {run}")
    return server.wait_until_judged(run_id, judged)


def snapshots(server: Server, run_id: int, attempt: str | None = None) -> list[dict[str, Any]]:
    """The snapshots of a run, or of one of its attempts, by sequence."""
    items: list[dict[str, Any]] = server.get(f"/api/v1/runs/{run_id}/snapshots?limit=1000")["items"]
    chosen = [item for item in items if attempt in (None, item["attempt"])]
    return sorted(chosen, key=lambda item: int(item["sequence"]))


def sequences_lost(attempt: dict[str, Any]) -> list[int]:
    """Those that the client said will never come."""
    return [s for first, last in attempt["lost_sequences"] for s in range(first, last + 1)]
