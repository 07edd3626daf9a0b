"""A server that stays away: neither the disk nor the memory of the training host fills up."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

from bifurk.record import read_record
from tests.faults.gateway import gateway
from tests.faults.rest import sequences_lost, settled, snapshots
from tests.faults.training import Training, encoded, unwatched
from tests.server import Server, wait_for

BOUND_BYTES = 1_000_000
"""A few snapshots of the many."""

LONG_STEPS = 40
LONGER_STEPS = 150
SLACK_BYTES = 3_000_000
"""Of memory beside the outbox: the snapshots being encoded, and what Python keeps for itself."""


def spooled(spool_dir: Path) -> list[Path]:
    return sorted(spool_dir.rglob("*.request"))


def test_the_spool_keeps_its_bound_and_drops_the_oldest(house: Server, spool_dir: Path) -> None:
    def keeps_its_bound(step: int) -> None:
        wait_for(lambda: newest_sequence(spool_dir) == step, f"snapshot {step} in the spool")
        assert sum(path.stat().st_size for path in spooled(spool_dir)) <= BOUND_BYTES

    with gateway(None, backend=house.url) as server:
        training = Training()
        monitor = training.watch(
            "bounded", url=server.url, spool_dir=spool_dir, spool_bytes=BOUND_BYTES, every=1
        )
        training.run(monitor, steps=LONG_STEPS, each_step=keeps_its_bound)
        kept = len(spooled(spool_dir))
        server.heal()
        monitor.close()
    assert training.outcome() == unwatched(LONG_STEPS)
    run = settled(house, "bounded", judged=kept)
    [attempt] = run["attempts"]
    first_kept = LONG_STEPS + 1 - kept
    assert 2 < kept < LONG_STEPS / 2
    assert sequences_lost(attempt) == list(range(first_kept))
    assert attempt["dropped"] == {"spool_full": first_kept + 1}, "and the first state report"
    arrived = [snapshot["sequence"] for snapshot in snapshots(house, run["id"])]
    assert arrived == list(range(first_kept, LONG_STEPS + 1))
    assert (run["state"], run["snapshots"]["judged"]) == ("finished", kept)


def newest_sequence(spool_dir: Path) -> int | None:
    return read_record(spooled(spool_dir)[-1]).sequence if spooled(spool_dir) else None


def test_memory_keeps_its_bound_where_no_spool_can_be_had(house: Server, spool_dir: Path) -> None:
    spool_dir.write_text("no folder")
    memory_bytes: list[int] = []

    def look(step: int) -> None:
        encoded(monitor)
        memory_bytes.append(tracemalloc.get_traced_memory()[0])

    with gateway(None, backend=house.url) as server:
        training = Training()
        tracemalloc.start()
        try:
            monitor = training.watch(
                "in-memory", url=server.url, spool_dir=spool_dir, spool_bytes=BOUND_BYTES, every=1
            )
            training.run(monitor, steps=LONGER_STEPS, each_step=look)
        finally:
            tracemalloc.stop()
        server.heal()
        monitor.close()
    assert training.outcome() == unwatched(LONGER_STEPS)
    run = settled(house, "in-memory", judged=1)
    [attempt] = run["attempts"]
    arrived = [snapshot["sequence"] for snapshot in snapshots(house, run["id"])]
    dropped = attempt["dropped"]
    assert sorted([*arrived, *sequences_lost(attempt)]) == list(range(LONGER_STEPS + 1))
    assert sum(dropped.values()) == LONGER_STEPS + 1 - len(arrived) + 1, "and a state report"
    assert set(dropped) == {"memory_full"}
    assert dropped["memory_full"] > 10 * len(arrived), "far more came than there was room for"
    assert max(memory_bytes) - memory_bytes[0] < BOUND_BYTES + SLACK_BYTES
