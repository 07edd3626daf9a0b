"""A written run with a past long enough to be thinned: parts with blobs, a memory, condensed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import func, insert, inspect, select

from bifurk_service.detect.judge import Judge
from bifurk_service.pipeline.condensing import condense_due
from bifurk_service.pipeline.thinning import Thinner
from bifurk_service.store.blobs import BlobStore
from bifurk_service.store.engine import Database
from bifurk_service.store.models import (
    TENSOR_STATS,
    Attempt,
    Base,
    ProfileValue,
    Snapshot,
    SpectrumRow,
    StoredPart,
)
from bifurk_service.store.series import StatisticSeries, statistic_series
from bifurk_service.store.state_pieces import forget_unnamed, keep_pieces
from bifurk_service.store.states import SavedState, save_state
from tests.written_run import WrittenRun

SNAPSHOTS = 640
SPECTRA_EVERY = 3
TOO_SMALL = {fit: {"no_verdict": "too small"} for fit in ("raw", "biwhitened", "power_law")}
"""What is said of a matrix of this size."""


class LongPast(WrittenRun):
    """Judged to its end; every snapshot has a part, a profile, and some have a spectrum.

    Args:
        blobs: the folder of the parts.
    """

    def __init__(self, database: Database, blobs: Path, snapshots: int = SNAPSHOTS) -> None:
        super().__init__(database)
        self.judge(range(snapshots))
        self.beside(blobs)
        self.put_away(snapshots - 1)

    def beside(self, blobs: Path) -> None:
        """What lies beside the statistics."""
        (blobs / "p/r/first").mkdir(parents=True)
        with self.database.write() as session:
            session.get_one(Attempt, self.attempt).first_sequence = 0
            query = select(Snapshot).where(Snapshot.attempt_id == self.attempt)
            for snapshot in session.scalars(query).all():
                key = f"p/r/first/{snapshot.sequence:010d}-0-x.part"
                (blobs / key).write_bytes(b"a part")
                session.add(
                    StoredPart(
                        snapshot_id=snapshot.id,
                        rank=0,
                        digest=f"{snapshot.sequence:064d}",
                        encoding="zstd",
                        blob_key=key,
                        blob_bytes=6,
                    )
                )
                at = {"attempt_id": self.attempt, "step": snapshot.step}
                profile = {"name": "std_depth_correlation", "role": "", "value": 0.5}
                session.execute(insert(ProfileValue), [{**at, **profile}])
                if snapshot.sequence % SPECTRA_EVERY == 1:
                    spectrum = {"rows": 2, "columns": 2, "document": TOO_SMALL}
                    values = np.array([2.0 + snapshot.sequence, 2.0], dtype="<f8").tobytes()
                    row = {**at, **spectrum, "tensor_id": self.tensors[0]}
                    session.execute(insert(SpectrumRow), [{**row, "singular_values": values}])

    def put_away(self, sequence: int) -> None:
        """The detectors' memory is saved, and the statistics are condensed."""
        with self.database.write() as session:
            judge = Judge("r")
            pieces = dict(enumerate(judge.put_away()))
            keep_pieces(session, self.attempt, sequence, pieces)
            places = tuple((sequence, number) for number in pieces)
            memory = SavedState(definition=judge.definition, sequence=sequence, pieces=places)
            save_state(session, self.attempt, memory)
            forget_unnamed(session, self.attempt)
        condense_due(self.database, most_seconds=60)

    def thin(self, blobs: BlobStore, *, keep_bytes: int = 1) -> int:
        """Thins until the run fits, or no more may be."""
        return Thinner(self.database, blobs, keep_bytes=keep_bytes).run(most_seconds=1e9)

    def series(self, **between: int) -> list[StatisticSeries]:
        with self.database.read() as session:
            return list(statistic_series(session, self.id, "std", self.tensors, **between))

    def whole(self) -> list[int]:
        """Sequences that have rows."""
        with self.database.read() as session:
            query = select(TENSOR_STATS.c.step).where(TENSOR_STATS.c.attempt_id == self.attempt)
            return sorted({step // 10 for step in session.scalars(query)})


def everything(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables, in order."""
    with database.read() as session:
        return {
            table.name: sorted(
                (tuple(map(repr, row)) for row in session.execute(select(table))),
            )
            for table in Base.metadata.sorted_tables
        }


def count(database: Database, table: Any) -> int:
    with database.read() as session:
        return session.scalar(select(func.count()).select_from(inspect(table).local_table)) or 0
