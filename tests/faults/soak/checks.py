"""What has to be true after a soak."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from bifurk_service.pipeline.sweeping import sweep_orphans
from bifurk_service.store.blobs import open_blobs
from tests.faults.soak.clients import acknowledged
from tests.faults.soak.evidence import Evidence, Rows, blobs_astray
from tests.faults.soak.monkey import Seen
from tests.faults.soak.stacks import Stack
from tests.faults.soak.training import Training

MOST_GROWTH_BYTES: Final = 48 << 20
"""Of a client's memory after the first third of the soak, when all it needs is loaded."""
MOST_SPOOL_BYTES: Final = 16 << 20
"""Every snapshot of the longest soak would fit: what is there shows that nothing is kept twice."""

_ADDRESS: Final = re.compile(r"/attempts/([^/]+)/snapshots/(\d+)/parts/(\d+)$")


def problems(stack: Stack, clients: Path, seen: Seen, found: Evidence, *, steps: int) -> list[str]:
    """What is not as it must be, in words; empty where all is well.

    Args:
        stack: still running. clients: their folder. seen: from outside. found: what is stored.
        steps: of each training; it sends one snapshot more.
    """
    return [
        *_parts(clients, found, seen.outcomes, snapshots=steps + 1),
        *_judgements(found, snapshots=len(seen.outcomes) * (steps + 1)),
        *_clients(seen, steps=steps),
        *_blobs(stack),
    ]


def _parts(
    clients: Path, found: Evidence, kinds: Collection[str], *, snapshots: int
) -> Iterator[str]:
    """Acknowledged and stored are the same, and it is all that there was to send."""
    told = _acknowledged(clients, kinds)
    for key in sorted(told.keys() | found.parts.keys()):
        if told.get(key) != found.parts.get(key):
            yield f"part {key}: acknowledged {told.get(key)}, stored {found.parts.get(key)}"
    if len(told) != len(kinds) * snapshots:
        yield f"{len(told)} parts are acknowledged, {len(kinds)} x {snapshots} were expected"


def _acknowledged(clients: Path, kinds: Collection[str]) -> Rows:
    """Digests of what the clients know to be stored, by run, attempt, step and rank."""
    known: Rows = {}
    for kind in kinds:
        for request in acknowledged(clients, kind):
            if request.sequence is not None:
                found = _ADDRESS.search(request.path)
                assert found is not None, request.path
                attempt, step, rank = found.groups()
                digest = hashlib.sha256(request.body).hexdigest()
                known[kind, attempt, int(step), int(rank)] = digest
    return known


def _judgements(found: Evidence, *, snapshots: int) -> Iterator[str]:
    """Every snapshot is judged, and that was told once."""
    for (run, sequence), (step, state, *_) in sorted(found.states.items()):
        if state != "judged":
            yield f"snapshot {sequence} of {run}, step {step}, is {state}"
    for key, count in sorted(found.events.items()):
        if count != 1 and key[1] == "snapshot":
            yield f"told {count} times: {key}"
    judged = [key for key in found.events if key[1] == "snapshot" and '"judged"' in key[2]]
    if len(judged) != snapshots:
        yield f"{len(judged)} judgements were told"


def _clients(seen: Seen, *, steps: int) -> Iterator[str]:
    """They lost nothing, trained as if nobody had watched, and stayed small."""
    for kind, outcome in seen.outcomes.items():
        training = Training(kind, steps=steps)
        training.run()
        if outcome["digest"] != training.digest():
            yield f"{kind} was trained otherwise than without bifurk"
        if outcome["dropped"]:
            yield f"{kind} dropped {outcome['dropped']}"
        resident = [size for size in seen.resident_bytes[kind] if size]
        growth = max(resident) - max(resident[: len(resident) // 3])
        if growth > MOST_GROWTH_BYTES:
            yield f"{kind} grew by {growth} bytes to {max(resident)}"
        if max(seen.spool_bytes[kind]) > MOST_SPOOL_BYTES:
            yield f"{kind} spooled {max(seen.spool_bytes[kind])} bytes"
        if seen.spool_bytes[kind][-1]:
            yield f"{kind} left {seen.spool_bytes[kind][-1]} bytes in its spool"


def _blobs(stack: Stack) -> Iterator[str]:
    """None is missing; what a crash left without a receipt is found by the sweep."""
    folder = stack.data_dir / "blobs"
    blobs, database = open_blobs(str(folder)), stack.database()
    try:
        sweep_orphans(database, blobs, older_than_seconds=0.0)
        astray, missing = blobs_astray(database, folder)
    finally:
        database.close()
    yield from (f"blob {key} belongs to nobody" for key in sorted(astray)[:3])
    yield from (f"blob {key} is missing" for key in sorted(missing)[:3])
