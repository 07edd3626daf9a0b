"""An archive that is not what `bifurk export` wrote is refused, and leaves nothing behind."""

from __future__ import annotations

import base64
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard
from sqlalchemy import func, select

from bifurk_service.archives import bringing
from bifurk_service.archives.bringing import bring_run
from bifurk_service.archives.form import MOST_CHUNK_BYTES
from bifurk_service.detect.judge import Judge
from bifurk_service.errors import BifurkError, ConflictError, InvalidError
from bifurk_service.pipeline.removing import remove_due
from bifurk_service.store.audit import THE_SERVICE
from bifurk_service.store.blobs import FolderBlobs, open_blobs
from bifurk_service.store.engine import Database
from bifurk_service.store.models import Snapshot, StoredPart
from bifurk_service.store.removal import COMING_SECONDS
from bifurk_service.store.run_lists import list_projects, list_runs
from tests.database import fresh_database
from tests.retention.compared import write
from tests.retention.interrupted import DiesAfter, killed
from tests.retention.long_past import LongPast, everything
from tests.retention.spoiling import Members, at, changed, members_of, packed, told

PROFILES = "rows/profiles/000000.jsonl.zst"
ATTEMPTS = "rows/attempts/000000.jsonl.zst"
STATISTICS = "rows/tensor_stats/000000.jsonl.zst"
AFTER_THINNINGS = ("rows/detector_states/000000.jsonl.zst",)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a short run."""
    folder = tmp_path_factory.mktemp("archive")
    database = fresh_database(folder)
    run = LongPast(database, folder / "blobs", snapshots=5)
    write(database, open_blobs(str(folder / "blobs")), run.id, folder / "run.bifurk")
    database.close()
    return folder / "run.bifurk"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = fresh_database(tmp_path)
    yield made
    made.close()


def bring(database: Database, folder: Path, path: Path, **names: str) -> int:
    wanted = {"run": None, "project": None, **names}
    blobs = open_blobs(str(folder / "blobs"))
    return bring_run(database, blobs, path, by=THE_SERVICE, **wanted).run_id


def with_column(name: str, column: str) -> Callable[[Members], None]:
    """Says that a table has one more."""

    def change(members: Members) -> None:
        tables = json.loads(members["manifest.json"])["tables"]
        told(members, tables={**tables, name: [*tables[name], column]})

    return change


def a_bomb(members: Members) -> None:
    members[STATISTICS] = zstandard.ZstdCompressor().compress(b" " * (MOST_CHUNK_BYTES + 1))


def out_of_order(members: Members) -> None:
    members[PROFILES] = members.pop(PROFILES)


def thinned(**values: Any) -> Callable[[Members], None]:
    """Adds how far the attempt is thinned."""

    def change(members: Members) -> None:
        columns = json.loads(members["manifest.json"])["tables"]["thinnings"]
        memory = base64.b64encode(Judge("r").snapshot()).decode()
        row = {"attempt_id": 1, "reached": [64, 0, 0], "stage": None, "block": None}
        row |= {"definition": "", "sequence": 99, "state": memory, "pieces": None, **values}
        line = json.dumps([row[one] for one in columns]).encode()
        later = {name: members.pop(name) for name in list(members) if name in AFTER_THINNINGS}
        members["rows/thinnings/000000.jsonl.zst"] = zstandard.ZstdCompressor().compress(line)
        members.update(later)

    return change


def an_array_for_memory(members: Members) -> None:
    array = io.BytesIO()
    np.save(array, np.zeros(2))
    at("detector_states", "state", base64.b64encode(array.getvalue()).decode())(members)


def a_packed_memory(members: Members) -> None:
    packed_memory = io.BytesIO()
    with np.load(io.BytesIO(Judge("r").snapshot())) as arrays:
        np.savez_compressed(packed_memory, **arrays)
    memory = base64.b64encode(packed_memory.getvalue()).decode()
    at("detector_states", "state", memory)(members)


HOSTILE: dict[str, tuple[Callable[[Members], Any], str]] = {
    "of another version": (lambda m: told(m, version=2), "version 2, this reads 1"),
    "of something else": (lambda m: told(m, format="recipe"), "no archive of a run"),
    "with a column of the future": (with_column("snapshots", "mood"), "use a newer bifurk"),
    "with ids of reasons": (with_column("tensor_stats", "reasons_id"), "use a newer bifurk"),
    "with a path that leads out": (lambda m: m.update({"../../evil": b""}), "no member"),
    "with a bomb": (a_bomb, "unpacks to more than"),
    "without its attempts": (lambda m: m.pop(ATTEMPTS), "not in the file"),
    "out of order": (out_of_order, "not where it belongs"),
    "without a blob": (lambda m: m.pop("blobs/000000000"), "is missing"),
    "under a name that leads out": (
        lambda m: told(m, run={"project": "p", "run": "../r"}), "not a slug",
    ),
    "with an attempt that leads out": (at("attempts", "slug", "../a"), "none that bifurk writes"),
    "with a word for a number": (at("snapshots", "step", "ten"), "'ten' is no"),
    "with a number beyond": (at("snapshots", "step", 1 << 63), "is no BigInteger"),
    "with a state of its own": (at("snapshots", "state", "merry"), "none of its words"),
    "with text no database takes": (at("tensors", "name", "a\0b"), "is no String"),
    "with a key twice": (at("snapshots", "sequence", 1), "contradict each other"),
    "with a blob outside": (at("parts", "blob_key", "../../etc/passwd"), "no blob of the archive"),
    "with a spectrum cut off": (at("spectra", "singular_values", "AAAA"), "is cut off"),
    "with no base64": (at("spectra", "singular_values", "!"), "not base64"),
    "with a damaged memory": (at("detector_states", "state", "AAAA"), "memory of detectors"),
    "with a damaged piece of a memory": (at("detector_pieces", "data", "AAAA"), "no piece of a"),
    "without a piece of a memory": (
        at("detector_pieces", "number", 999), "of its 19 pieces 1 are not in the file",
    ),
    "without any piece of a memory": (at("detector_states", "pieces", None), "of its 0 pieces"),
    "with a piece beyond": (at("detector_states", "pieces", [[0, -1]]), "another form"),
    "with a tensor of another run": (at("tensor_stats", "tensor_id", 99), "not in the file"),
    "with a number that no float holds": (at("snapshots", "coverage", 10**400), "is no Double"),
    "with a time that no float holds": (
        lambda m: told(m, run={**json.loads(m["manifest.json"])["run"], "created_at": 10**400}),
        "none that bifurk writes",
    ),
    "with a loss beyond": (at("attempts", "lost_sequences", [[0, 1 << 63]]), "beyond what"),
    "with a stage of its own": (thinned(stage=9, block=0), "none that bifurk writes"),
    "thinned to beyond": (thinned(reached=[1 << 63, 0, 0]), "beyond what"),
    "with an array for a memory": (an_array_for_memory, "memory of detectors"),
    "with a memory that is a bomb": (a_packed_memory, "memory of detectors"),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_none_of_ours_is_refused_and_leaves_nothing(
    archive: Path, database: Database, tmp_path: Path, what: str
) -> None:
    spoil, problem = HOSTILE[what]
    members = members_of(archive)
    spoil(members)
    check_refused(database, tmp_path, packed(tmp_path / "spoilt.bifurk", members), problem)


def check_refused(database: Database, folder: Path, path: Path, problem: str) -> None:
    before = everything(database)
    with pytest.raises(BifurkError, match=re.escape(problem)):
        bring(database, folder, path)
    assert everything(database) == before
    assert not list((folder / "blobs").rglob("*.part"))


def test_a_damaged_file_is_refused(archive: Path, database: Database, tmp_path: Path) -> None:
    whole = archive.read_bytes()
    spoilt = tmp_path / "spoilt.bifurk"
    for data, problem in (
        (b"", "no whole archive"),
        (whole[: len(whole) // 2], "no whole archive"),
        (whole.replace(b"a part", b"a bark", 1), "is damaged"),
    ):
        spoilt.write_bytes(data)
        check_refused(database, tmp_path, spoilt, problem)
    members = members_of(archive)
    check_refused(
        database,
        tmp_path,
        packed(spoilt, members, compression=zipfile.ZIP_DEFLATED),
        "is packed or encrypted",
    )
    packed(spoilt, members)
    with zipfile.ZipFile(spoilt) as file:
        index = file.read("index.json")
    swapped = {**members, "blobs/000000000": b"another"}
    with zipfile.ZipFile(spoilt, "w") as file:
        for name, data in swapped.items():
            file.writestr(name, data)
        file.writestr("index.json", index)
    check_refused(database, tmp_path, spoilt, "is not what the index says")


def test_a_name_that_is_taken_is_said_and_another_can_be_given(
    archive: Path, database: Database, tmp_path: Path
) -> None:
    first = bring(database, tmp_path, archive)
    with pytest.raises(ConflictError, match="p/r is there already"):
        bring(database, tmp_path, archive)
    assert bring(database, tmp_path, archive, run="again") == first + 1
    with pytest.raises(InvalidError, match="not a slug"):
        bring(database, tmp_path, archive, project="..")


def test_an_archive_of_a_version_that_knew_less_comes_in(
    archive: Path, database: Database, tmp_path: Path
) -> None:
    members = members_of(archive)
    for table, column in (
        ("snapshots", "thinned"),
        ("snapshots", "spectra_skipped"),
        ("parts", "stale_key"),
        ("attempts", "condensed"),
    ):
        leave_out(members, table, column)
    bring(database, tmp_path, packed(tmp_path / "older.bifurk", members))
    with database.read() as session:
        assert set(session.scalars(select(Snapshot.thinned))) == {0}
        assert set(session.scalars(select(StoredPart.stale_key))) == {None}


def leave_out(members: Members, table: str, column: str) -> None:
    tables = json.loads(members["manifest.json"])["tables"]

    def change(rows: list[list[Any]], columns: list[str]) -> None:
        for row in rows:
            del row[columns.index(column)]

    changed(members, f"rows/{table}/000000.jsonl.zst", change)
    known = [one for one in tables[table] if one != column]
    told(members, tables={**tables, table: known})


def test_blobs_come_a_few_at_a_time_each_before_its_row(
    archive: Path, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_row = []

    def note(folder: FolderBlobs, key: str, data: bytes) -> None:
        put(folder, key, data)
        with database.read() as session:
            rows = session.scalar(select(func.count()).select_from(StoredPart))
        without_row.append(len(without_row) + 1 - (rows or 0))

    put = FolderBlobs.put
    monkeypatch.setattr(FolderBlobs, "put", note)
    monkeypatch.setattr(bringing, "PARTS_AT_ONCE", 2)
    bring(database, tmp_path, archive)
    assert without_row == [1, 2, 1, 2, 1]


def bring_and_die(url: str, folder: str, archive: str, transactions: int) -> None:
    bring(DiesAfter(url, transactions), Path(folder), Path(archive))


def test_an_import_that_is_killed_is_not_seen_and_goes(
    archive: Path, database: Database, tmp_path: Path
) -> None:
    before = everything(database)
    assert killed(bring_and_die, database.url, str(tmp_path), str(archive), 6)
    with database.read() as session:
        assert list_runs(session) == []
        assert [one.runs for one in list_projects(session, after_id=0, limit=9)] == [0]
    assert everything(database)["runs"] != before["runs"]
    assert len(list((tmp_path / "blobs").rglob("*.part"))) == 5
    bring(database, tmp_path, archive)
    blobs = open_blobs(str(tmp_path / "blobs"))
    now = everything_but_audit(database)
    remove_due(database, blobs, now=0.0)
    assert everything_but_audit(database) == now, "it may still be under way"
    remove_due(database, blobs, now=1e11 + COMING_SECONDS, most_seconds=1e9)
    with database.read() as session:
        assert [one.run for one in list_runs(session)] == ["r"]
    assert len(everything(database)["runs"]) == 1
    assert len(list((tmp_path / "blobs").rglob("*.part"))) == 5


def everything_but_audit(database: Database) -> dict[str, Any]:
    return {name: rows for name, rows in everything(database).items() if name != "audit"}
