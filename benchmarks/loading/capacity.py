"""What a service has to carry, computed from what its pieces were measured to cost; pure.

A snapshot of T tensors in R parts costs, wherever it is measured, a fixed part and one for each
tensor: ``Line``. The same lines, with the same figures, make the predictions that ``simulation.py``
holds against the real service, and the tables of ``docs/scale.md``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

DAY_SECONDS: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A cost that grows with the tensors of a snapshot: ``fixed + each * tensors``."""

    fixed: float
    each: float

    def at(self, tensors: float) -> float:
        """Of a snapshot of so many tensors."""
        return self.fixed + self.each * tensors


def line_through(points: Sequence[tuple[float, float]]) -> Line:
    """The line that misses measured costs least, relative to each of them; never below zero.

    Args:
        points: tensors and cost, at least two.
    """
    tensors, costs = np.array(points, dtype=np.float64).T
    weights = 1 / costs
    design = np.column_stack([np.ones_like(tensors), tensors]) * weights[:, None]
    fixed, each = np.linalg.lstsq(design, costs * weights, rcond=None)[0]
    if fixed < 0:
        fixed, each = 0.0, float(np.mean(costs / tensors))
    return Line(fixed=float(fixed), each=float(each))


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What a snapshot costs.

    Attributes:
        server: processor seconds of the process that takes in and judges. taking_in: of these,
            up to the acknowledgement. workers: of those that measure, without spectra.
            database: of PostgreSQL's processes, 0 with SQLite.
        wire, blobs, rows: bytes sent, kept in blobs, and added to the database.
        memory: bytes of detectors' memory as they hold it, of one attempt.
        spectrum_seconds: processor seconds of a worker for one spectrum of ``spectrum_shape``.
    """

    server: Line
    taking_in: Line
    workers: Line
    database: Line
    wire: Line
    blobs: Line
    rows: Line
    memory: Line
    spectrum_seconds: float = 0.0
    spectrum_shape: tuple[int, int] = (512, 512)

    def processor(self, tensors: int) -> float:
        """Processor seconds of a snapshot of so many tensors, spectra apart."""
        return sum(one.at(tensors) for one in (self.server, self.workers, self.database))

    def busy(self, arrived: float, judged: float, tensors: int) -> float:
        """Cores in use where so many snapshots a second arrive, and so many are judged."""
        taking_in = self.taking_in.at(tensors)
        return arrived * taking_in + judged * (self.processor(tensors) - taking_in)

    def spectrum(self, shape: tuple[int, int]) -> float:
        """Seconds for one of another shape: p x q with p <= q costs p^2 q."""
        return self.spectrum_seconds * _work(shape) / _work(self.spectrum_shape)


def _work(shape: tuple[int, int]) -> float:
    least, most = sorted(shape)
    return float(least) ** 2 * most


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """What is to be carried.

    Attributes:
        runs: at once. tensors: of each. every_seconds: between two snapshots of a run.
        spectra: full matrices a snapshot, of ``spectrum_shape``.
    """

    runs: int
    tensors: int
    every_seconds: float
    spectra: int = 0
    spectrum_shape: tuple[int, int] = (4_096, 4_096)

    @property
    def snapshots_per_second(self) -> float:
        """Of all runs together."""
        return self.runs / self.every_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What that takes: processor cores by where they are used, and bytes."""

    server_cores: float
    worker_cores: float
    spectra_cores: float
    database_cores: float
    wire_bytes_per_second: float
    rows_per_second: float
    row_bytes_per_day: float
    blob_bytes_per_day: float
    detector_bytes: float

    @property
    def cores(self) -> float:
        """All of them."""
        return self.server_cores + self.worker_cores + self.spectra_cores + self.database_cores


def needs(fleet: Fleet, costs: Costs) -> Needs:
    """What a fleet takes, at these costs."""
    rate, tensors = fleet.snapshots_per_second, fleet.tensors
    spectra = fleet.spectra * costs.spectrum(fleet.spectrum_shape)
    return Needs(
        server_cores=rate * costs.server.at(tensors),
        worker_cores=rate * costs.workers.at(tensors),
        spectra_cores=rate * spectra,
        database_cores=rate * costs.database.at(tensors),
        wire_bytes_per_second=rate * costs.wire.at(tensors),
        rows_per_second=rate * tensors,
        row_bytes_per_day=DAY_SECONDS * rate * costs.rows.at(tensors),
        blob_bytes_per_day=DAY_SECONDS * rate * costs.blobs.at(tensors),
        detector_bytes=fleet.runs * costs.memory.at(tensors),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """What there is: cores in all, processes that serve (each of one core), and that measure."""

    cores: float
    servers: int = 1
    workers: int = 1


def saturation(tensors: int, costs: Costs, house: House, *, other: float = 0.0) -> float:
    """Snapshots a second beyond which a queue grows without end.

    Whichever is used up first: the serving processes' cores, those that measure, or all.

    Args:
        other: processor seconds a snapshot that something else takes on the same cores.
    """
    server, workers = costs.server.at(tensors), costs.workers.at(tensors)
    together = costs.processor(tensors) + other
    return min(house.servers / server, house.workers / workers, house.cores / together)


def judged(rate: float, tensors: int, costs: Costs, house: House, *, other: float = 0.0) -> float:
    """Snapshots a second that are judged where so many arrive.

    All that arrive are taken in, judged or not: beyond the most, that is taken from what judges.

    Args:
        rate: of arrival. other: as for ``saturation``, of each that arrives.
    """
    taking_in = costs.taking_in.at(tensors)
    keeping = costs.server.at(tensors) - taking_in
    measuring = costs.workers.at(tensors)
    rest = keeping + measuring + costs.database.at(tensors)
    most = min(
        (house.servers - rate * taking_in) / keeping,
        house.workers / measuring,
        (house.cores - rate * (taking_in + other)) / rest,
    )
    return min(rate, max(0.0, most))


def costs_from(rows: Sequence[Mapping[str, Any]], database: str) -> Costs:
    """Costs as ``load.py`` measured them, from its section ``tensors``."""
    own = [row for row in rows if row["database"] == database]

    def line(read: str, *, of: str | None = None) -> Line:
        values = [row[of][read] if of else row[read] for row in own]
        if not all(values):
            return Line(fixed=0.0, each=0.0)
        return line_through(
            [(row["tensors"], value) for row, value in zip(own, values, strict=True)]
        )  # type: ignore[misc]

    return Costs(
        server=line("server", of="cpu"),
        taking_in=line("taking_in", of="cpu"),
        workers=line("workers", of="cpu"),
        database=line("database", of="cpu"),
        wire=line("wire_bytes"),
        blobs=line("blob_bytes"),
        rows=line("database_bytes"),
        memory=line("state_bytes"),
    )
