"""Whether `tensor_stats` should be partitioned on PostgreSQL: writing, reading a series, deleting.

Narrow rows of the table's key and four statistics, in a database of its own that goes afterwards:

    python -m benchmarks.partitioning --rows 1000000
"""

from __future__ import annotations

import argparse
import io
import statistics
import time

import numpy as np
import psycopg

from tests.deploy.postgres import running_postgres

ATTEMPTS = 20
TENSORS = 200
LAYOUTS = {
    "one table": "",
    "16 partitions by attempt": "PARTITION BY HASH (attempt_id)",
    "16 partitions by tensor": "PARTITION BY HASH (tensor_id)",
}
PARTITIONS = 16
SERIES = "SELECT step, a FROM stats WHERE tensor_id = %s AND attempt_id = %s ORDER BY step"
COLUMNS = "tensor_id, attempt_id, step, a, b, c, d"


def make(connection: psycopg.Connection[tuple[object, ...]], partitioned: str) -> None:
    """An empty table with the keys of the real one."""
    connection.execute("DROP TABLE IF EXISTS stats")
    connection.execute(
        "CREATE TABLE stats (tensor_id bigint, attempt_id bigint, step bigint, a double precision, "
        "b double precision, c double precision, d double precision, "
        f"PRIMARY KEY (tensor_id, attempt_id, step)) {partitioned}"
    )
    if partitioned:
        for one in range(PARTITIONS):
            connection.execute(
                f"CREATE TABLE stats_{one} PARTITION OF stats "
                f"FOR VALUES WITH (MODULUS {PARTITIONS}, REMAINDER {one})"
            )
    connection.execute("CREATE INDEX ON stats (attempt_id, step)")


def write(connection: psycopg.Connection[tuple[object, ...]], steps: int) -> None:
    """Snapshot by snapshot, the attempts in turn, as trainings send them."""
    random = np.random.default_rng(0)
    for step in range(steps):
        for attempt in range(ATTEMPTS):
            values = random.standard_normal((TENSORS, 4))
            text = io.StringIO()
            for tensor, row in enumerate(values):
                fields = [attempt * TENSORS + tensor, attempt, step, *row]
                text.write("\t".join(map(str, fields)) + "\n")
            with connection.cursor().copy(f"COPY stats ({COLUMNS}) FROM STDIN") as copy:
                copy.write(text.getvalue())


def read(connection: psycopg.Connection[tuple[object, ...]]) -> tuple[float, int]:
    """Median seconds of one series of one tensor, and pages of 8 KiB that one reads."""
    taken = []
    for place in range(50):
        begun = time.perf_counter()
        connection.execute(SERIES, series(place)).fetchall()
        taken.append(time.perf_counter() - begun)
    explained = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) " + SERIES
    [plan] = connection.execute(explained, series(0)).fetchall()[0][0]  # type: ignore[attr-defined]
    pages = plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]
    return statistics.median(taken), pages


def series(place: int) -> tuple[int, int]:
    """A tensor and its attempt."""
    attempt = place % ATTEMPTS
    return attempt * TENSORS + place, attempt


def log_bytes(connection: psycopg.Connection[tuple[object, ...]]) -> int:
    """Bytes that the server has written to its log so far."""
    [(position,)] = connection.execute("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn").fetchall()
    return int(str(position))


def delete(connection: psycopg.Connection[tuple[object, ...]]) -> float:
    """Seconds that one attempt's end takes."""
    begun = time.perf_counter()
    connection.execute("DELETE FROM stats WHERE attempt_id = 3")
    return time.perf_counter() - begun


def main() -> None:
    """Prints a line a layout."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    steps = max(1, parser.parse_args().rows // (ATTEMPTS * TENSORS))
    with running_postgres() as cluster:
        cluster.database("partitioning")
        where = cluster.address("partitioning")
        with psycopg.connect(where, autocommit=True) as connection:
            print(f"{steps * ATTEMPTS * TENSORS} rows, PostgreSQL {connection.info.server_version}")
            for name, partitioned in LAYOUTS.items():
                make(connection, partitioned)
                begun, logged = time.perf_counter(), log_bytes(connection)
                write(connection, steps)
                rate = steps * ATTEMPTS * TENSORS / (time.perf_counter() - begun)
                logged = (log_bytes(connection) - logged) // (steps * ATTEMPTS * TENSORS)
                connection.execute("VACUUM ANALYZE stats")
                reading, pages = read(connection)
                print(
                    f"{name}: {rate:.0f} rows/s written, {logged} bytes of log a row; a series of "
                    f"{steps} steps in {reading * 1e3:.2f} ms, {pages} pages; "
                    f"an attempt deleted in {delete(connection):.2f} s",
                    flush=True,
                )


if __name__ == "__main__":
    main()
