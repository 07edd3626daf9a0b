"""Snapshots given to a house on a cluster, and all that it has made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import select

from bifurk.wire import Part, encode
from bifurk_service.pipeline.measuring import MeasureJob
from bifurk_service.pipeline.reading import BlobRef
from bifurk_service.stats.spectra.plan import SpectraPlan
from bifurk_service.store.blobs import open_blobs
from bifurk_service.store.models import TENSOR_STATS, Event, Snapshot, SpectrumRow, StoredPart
from bifurk_service.store.reasons import statistics_told
from tests.cluster.processes import Cluster
from tests.cluster.waiting import WaitingBlob
from tests.pipeline.house import House
from tests.server import wait_for


def waiting(house: House, cluster: Cluster, *, place: int = 0) -> WaitingBlob:
    """One of the parts, the first unless told, which keeps whoever reads it."""
    with house.database.read() as session:
        keys = session.scalars(select(StoredPart.blob_key).order_by(StoredPart.id)).all()
    return WaitingBlob(Path(house.blobs.url) / keys[place], cluster.worker_ids)


def advance(house: House) -> set[str]:
    """One round of the pipeline, a second after the last; the states there are then."""
    house.clock.advance(1.0)
    house.pipeline.advance()
    return set(house.states())


def settle(house: House) -> None:
    """Rounds until everything is judged or failed."""
    wait_for(lambda: advance(house) <= {"judged", "failed"}, "the end of all snapshots")


def job_of(
    part: Part, folder: Path, plan: SpectraPlan, *, blob_url: str | None = None
) -> MeasureJob:
    blobs = open_blobs(blob_url or str(folder / "blobs"))
    blobs.put("one.part", encode(part))
    return MeasureJob(
        snapshot_id=1,
        blob_url=blobs.url,
        parts=(BlobRef(key="one.part", encoding="zstd"),),
        previous=(),
        first=(),
        steps_since_previous=None,
        plan=plan,
    )


def snapshots(house: House) -> list[Snapshot]:
    with house.database.read() as session:
        return list(session.scalars(select(Snapshot).order_by(Snapshot.id)))


def statistics(house: House) -> list[tuple[Any, ...]]:
    """Every statistic of every tensor, bit for bit, and why there is none."""
    with house.database.read() as session:
        rows = session.execute(statistics_told().order_by(*TENSOR_STATS.primary_key)).all()
    return [tuple(row) for row in rows]


def compared_with_the_first(house: House) -> int:
    """How many times singular vectors were."""
    column = TENSOR_STATS.c.subspace_overlap_to_first
    with house.database.read() as session:
        return len(session.scalars(select(column).where(column.is_not(None))).all())


def spectra(house: House) -> list[tuple[Any, ...]]:
    with house.database.read() as session:
        found = session.scalars(
            select(SpectrumRow).order_by(SpectrumRow.tensor_id, SpectrumRow.step)
        )
        return [(one.tensor_id, one.step, one.singular_values, one.document) for one in found]


def stripped(house: House) -> list[bytes]:
    """The stored parts as they are kept in the end."""
    with house.database.read() as session:
        keys = list(session.scalars(select(StoredPart.blob_key).order_by(StoredPart.id)))
    return [house.blobs.get(key) for key in keys]


def told(house: House) -> list[tuple[str, str]]:
    """All news, in an order of their own."""
    with house.database.read() as session:
        return sorted((one.kind, str(one.data)) for one in session.scalars(select(Event)))
