"""What a service makes of the same parts when nothing happens to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, zip_longest
from pathlib import Path

from bifurk.transport import Request
from tests.faults.soak.clients import acknowledged
from tests.faults.soak.evidence import Evidence, evidence
from tests.faults.soak.stacks import Stack, one_process
from tests.faults.soak.training import CLIENTS, PROJECT
from tests.server import Server, wait_for


def undisturbed(recorded: Path, folder: Path) -> Evidence:
    """Gives a fresh server all that was acknowledged to the clients, as fast as it takes it.

    Args:
        recorded: folder of the clients. folder: of the server.
    """
    with one_process(folder) as stack:
        for request in turns(acknowledged(recorded, kind) for kind in CLIENTS):
            if request is not None:
                status, answer = stack.server.request(
                    request.method, request.path, body=request.body, headers=dict(request.headers)
                )
                assert status in (200, 201), answer
        return settled(stack)


def turns(lines: Iterable[Iterator[Request]]) -> Iterator[Request | None]:
    """The first of each line, the second of each, and so on; None for a line that is at its end."""
    return chain.from_iterable(zip_longest(*lines))


def settled(stack: Stack) -> Evidence:
    """All that a stack has made of what it has, once nothing waits any more."""
    wait_for(lambda: nothing_waits(stack.server), "the last judgement", seconds=600)
    database = stack.database()
    try:
        return evidence(database)
    finally:
        database.close()


def nothing_waits(server: Server) -> bool:
    """Whether all that has arrived is judged, late or failed."""
    runs = server.get(f"/api/v1/runs?project={PROJECT}")["items"]
    counts = [server.get(f"/api/v1/runs/{run['id']}")["snapshots"] for run in runs]
    return bool(counts) and not any(one["received"] + one["measured"] for one in counts)
