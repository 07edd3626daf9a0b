"""Two archives of one run compared: numbers of rows are told by their rank, times are left out."""

from __future__ import annotations

from pathlib import Path

from bifurk_service.archives.reading import ArchiveReader
from bifurk_service.archives.writing import write_run
from bifurk_service.detect.renumbering import piece_with_tensor_ids
from bifurk_service.store.blobs import BlobStore
from bifurk_service.store.engine import Database
from bifurk_service.store.whole_runs import REFERENCES, Row

ELSEWHERE = {("attempts", "seen_at")}
"""When it was last heard of is this server's own matter."""


def write(database: Database, blobs: BlobStore, run_id: int, path: Path) -> Path:
    with path.open("wb") as into:
        write_run(database, blobs, run_id, into)
    return path


def contents(path: Path) -> dict[str, list[Row]]:
    """Every row of an archive, blobs by their bytes, ids by their rank."""
    found: dict[str, list[Row]] = {name: [] for name in REFERENCES}
    with ArchiveReader(path) as archive:
        for name, rows in archive.chunks():
            found[name] += rows
        for part in found["parts"]:
            for key in ("blob_key", "stale_key"):
                part[key] = archive.blob(part[key]) if part[key] else part[key]
    ranks = {
        name: {row["id"]: rank for rank, row in enumerate(rows)}
        for name, rows in found.items()
        if rows and "id" in rows[0]
    }
    for name, rows in found.items():
        for row in rows:
            _rank(name, row, ranks)
    return found


def _rank(name: str, row: Row, ranks: dict[str, dict[int, int]]) -> None:
    for column, parent in {**REFERENCES[name], "id": name}.items():
        if column in row and parent in ranks and row[column] is not None:
            row[column] = ranks[parent][row[column]]
    row.pop("run_id", None)
    for table, column in ELSEWHERE:
        if table == name:
            del row[column]
    if name == "detector_pieces":
        row["data"] = piece_with_tensor_ids(row["data"], ranks["tensors"])
        del row["digest"]
    if name == "alerts":
        for one in row["tensors"]:
            one["id"] = ranks["tensors"][one["id"]]
        for one in (*row["evidence"].get("detections", ()), *row["evidence"].get("followers", ())):
            one["tensor"] = ranks["tensors"][one["tensor"]]
