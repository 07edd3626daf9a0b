"""What the detectors' memory of an attempt takes, and what saving it and taking it up again costs.

    python benchmarks/detector_memory.py [--tensors 1000 10000 30000] [--folder DIR]

A judge of 1,000 tensors sees 150 snapshots of random walks; larger ones get its rows again and
again, each changed a little, so that nothing repeats that would not. Every size runs in a process
of its own, whose peak of resident memory is read. *Archive* is the memory as one value, as versions
before 0026 stored it; it is left out above 10,000 tensors, where no value holds it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from bifurk_service.detect.judge import Judge
from bifurk_service.detect.state_pieces import IDS, TENSORS, cut, joined
from bifurk_service.detect.streams import clocks
from bifurk_service.domain import Clock, TensorInfo
from bifurk_service.pipeline.memories import MemoryKeeper, take_up
from bifurk_service.store.engine import Database
from bifurk_service.store.leases import Lease, register, take
from bifurk_service.store.runs import attempt_of, ensure_run
from bifurk_service.store.states import load_state

BASE: Final = 1_000
SNAPSHOTS: Final = 150
"""Beyond the longest past that a detector remembers."""
LARGEST_ARCHIVE: Final = 10_000
SPECTRA: Final = ("spectral_norm", "stable_rank", "effective_rank", "spectrum_outliers")
SERIES: Final = "series/"


def main() -> None:
    """Prints a line a size."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--tensors", type=int, nargs="+", default=[1_000, 10_000, 30_000])
    parser.add_argument("--folder", type=Path, default=None)
    chosen = parser.parse_args()
    spawning = multiprocessing.get_context("spawn")
    for left_out in ((), SPECTRA):
        base, course = _base(left_out)
        for count in chosen.tensors:
            work = spawning.Process(target=_measure, args=(base, course, count, chosen.folder))
            work.start()
            work.join()


def _base(left_out: tuple[str, ...]) -> tuple[list[bytes], dict[str, Any]]:
    random = np.random.default_rng(1)
    judge = Judge("r")
    names = [one.name for one in judge.statistics if one.name not in left_out]
    course = {name: np.zeros(BASE) for name in names}
    for clock in clocks(SNAPSHOTS):
        course = {n: one + 0.001 * random.standard_normal(BASE) for n, one in course.items()}
        _judge(judge, clock, {name: np.exp(one) for name, one in course.items()})
    return list(judge.put_away()), course


def _grown(base: list[bytes], count: int) -> Iterator[bytes]:
    factor = 1 + 1e-6 * np.random.default_rng(7).random(count)
    for group, arrays in joined(base):
        if group == TENSORS:
            yield from cut(group, {IDS: np.arange(count)}, rows=count)
        elif group.startswith(SERIES):
            grown = {name: _repeated(name, one, factor) for name, one in arrays.items()}
            yield from cut(group, grown, rows=count)
        else:
            yield from cut(group, arrays, rows=max(map(len, arrays.values())))


def _repeated(name: str, array: Any, factor: Any) -> Any:
    if len(array) != BASE:
        return array
    rows = array[np.arange(len(factor)) % BASE]
    return rows * factor[:, None] if name.endswith(("values", "sizes")) else rows


def _measure(base: list[bytes], course: dict[str, Any], count: int, folder: Path | None) -> None:
    judge = Judge("r")
    judge.take_up(_grown(base, count))
    line: dict[str, Any] = {"tensors": count, "statistics": len(course)}
    with tempfile.TemporaryDirectory(dir=folder) as place:
        database = Database(f"sqlite:///{place}/bifurk.db")
        database.upgrade()
        line |= _kept(database, judge, course, count)
        database.close()
    with _timed(line, "put away, s"):
        line["pieces, bytes a tensor"] = round(sum(map(len, judge.put_away())) / count)
    line["peak, MiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    if count <= LARGEST_ARCHIVE:
        with _timed(line, "archive, s"):
            state = judge.snapshot()
        line["archive, bytes a tensor"] = len(state) // count
    print(line, flush=True)


def _kept(database: Database, judge: Judge, course: dict[str, Any], count: int) -> dict[str, Any]:
    lease, found, transactions = _lease(database), dict[str, Any](), list[float]()
    write = database.write

    @contextmanager
    def timed(**how: Any) -> Iterator[Any]:
        begin = time.monotonic()
        with write(**how) as session:
            yield session
        transactions.append(time.monotonic() - begin)

    database.write = timed  # type: ignore[method-assign]
    keeper = MemoryKeeper(database, lease)
    for sequence in (SNAPSHOTS, SNAPSHOTS + 1):
        noise = 0.001 * np.random.default_rng(sequence).standard_normal(count)
        values = {n: np.exp(one[np.arange(count) % BASE] + noise) for n, one in course.items()}
        _judge(judge, clocks(sequence + 1)[-1], values)
        with _timed(found, f"save {sequence - SNAPSHOTS + 1}, s"):
            keeper.write_ahead(judge, sequence)
            with database.write() as session:
                keeper.save(session)
            keeper.tidy()
    again = Judge("r")
    with _timed(found, "take up, s"), database.read() as session:
        saved = load_state(session, lease.attempt_id)
        if saved is None or len(saved.pieces) < 2:
            raise RuntimeError("nothing was saved")
        take_up(session, again, lease.attempt_id, saved)
    if len(again.tensor_ids) != count or list(again.put_away()) != list(judge.put_away()):
        raise RuntimeError("what was taken up is not what was saved")
    found |= {"pieces": len(saved.pieces), "longest transaction, s": round(max(transactions), 2)}
    return found


def _judge(judge: Judge, clock: Clock, values: dict[str, Any]) -> None:
    """Stacks of 100 layers with eight matrices each; nothing is broken, nothing frozen."""
    count = len(next(iter(values.values())))
    tensors = [
        TensorInfo(
            id=n,
            name=f"stack{n // 800}.blocks.{n // 8 % 100}.w{n % 8}",
            layer=n // 8 % 100,
            role=f"{n // 800}.w{n % 8}",
            shape=(512, 512),
        )
        for n in range(count)
    ]
    values |= {name: np.zeros(count) for name in ("nonfinite_count", "unmoved_share")}
    judge.update(clock, tensors, values, {name: np.ones(count, dtype=np.bool_) for name in values})


def _lease(database: Database) -> Lease:
    with database.write() as session:
        run = ensure_run(session, project="p", run="r", now=0.0)
        attempt = attempt_of(session, run, "first", now=0.0).id
        holder = register(session, "here", capacity=1, seconds=None)
        [lease] = take(session, holder, [attempt])
    return lease


@contextmanager
def _timed(line: dict[str, Any], name: str) -> Iterator[None]:
    """Processor seconds."""
    begin = time.process_time()
    yield
    line[name] = round(time.process_time() - begin, 2)


if __name__ == "__main__":
    main()
