"""What columns hold as JSON is checked before it comes in: who looks later finds no error."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import JSON, select

from bifurk_service.access.requiring import ANYONE
from bifurk_service.api.spectra import fitted_curve
from bifurk_service.archives.checking import check_rows
from bifurk_service.archives.documents import FORMS, wrong_form
from bifurk_service.archives.reading import ArchiveReader
from bifurk_service.detect.judge import Judge
from bifurk_service.detect.silent import silent_alert
from bifurk_service.domain import Alert, Mark
from bifurk_service.errors import InvalidError
from bifurk_service.notify.rules import Policy
from bifurk_service.pages.alert_band import good_still_there
from bifurk_service.pipeline.reporting import report_alert
from bifurk_service.stats.spectra.matrix_spectrum import MatrixSpectrum
from bifurk_service.stats.spectra.spectrum import measure_spectrum
from bifurk_service.store.blobs import open_blobs
from bifurk_service.store.engine import Database
from bifurk_service.store.models import (
    Attempt,
    Snapshot,
    StoredAlert,
    StoredDirective,
    StoredMark,
    Thinning,
)
from bifurk_service.store.runs import ensure_run
from bifurk_service.store.spectra import StoredSpectrum
from bifurk_service.store.whole_runs import REFERENCES, table_of
from tests.database import fresh_database
from tests.detect.runs import faulty, gpt, judged
from tests.detect.test_leaves_baseline import alert_of, course, found_of, leaves
from tests.retention.compared import write
from tests.retention.long_past import TOO_SMALL, LongPast, everything
from tests.retention.spoiling import Members, at, members_of, packed
from tests.retention.test_hostile_archives import bring

AFFECTED: dict[str, Any] = {
    "id": 1, "name": "w0", "layer": None, "role": "other", "statistics": ["std"],
    "first_statistic": "", "branch": None, "onset_first_step": 10, "onset_last_step": 20,
    "before": 0.1, "after": None, "score": 3,
}  # fmt: skip
MARK = {"kind": "resume", "step": 10, "details": {"path": "a.pt", "again": True, "loss": None}}
FIT: dict[str, Any] = {
    "p": 2, "n": 3, "sigma": 0.1, "lower_edge": 0.0, "upper_edge": 1.0, "lower_threshold": 0.0,
    "upper_threshold": 1.1, "below": 0, "above": 1, "outliers": [{"value": 2.0, "side": "above"}],
}  # fmt: skip


def without(document: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in names}


def nested(levels: int) -> Any:
    document: Any = {}
    for _ in range(levels):
        document = {"in": document}
    return document


ANY_COLUMN = (
    7,
    "text",
    True,
    [["a", 1]],
    {"a": [1]},
    {"a": {"b": 1}},
    [None],
    nested(17),
    nested(900),
)
"""What few columns may hold."""
OF_COLUMN: dict[tuple[str, str], tuple[Any, ...]] = {
    ("attempts", "dropped"): ({"busy": -1}, {"busy": 0.5}, {"busy": "1"}, {"busy": 1 << 63}, None),
    ("attempts", "lost_sequences"): ([[0]], [[0, 1, 2]], [[0, -1]], [["0", "1"]], None),
    ("attempts", "optimizer_settings"): ({"lr": float("nan")}, {"lr": 10**400}, {"a": "\ud800"}),
    ("attempts", "client"): ({"torch": 2}, {"torch": None}),
    ("thinnings", "reached"): ([0.5, 0, 0], [-1, 0, 0], [True, 0, 0]),
    ("thinnings", "pieces"): ([[0]], [[0, 1, 2]], [[0, -1]], [[0, True]], [0, 1]),
    ("detector_states", "pieces"): ([[0]], [[0, 1, 2]], [[0, -1]], [[0, True]], [0, 1]),
    ("tensors", "shape"): ([-1], [2.5], ["2"], None),
    ("snapshots", "learning_rates"): ([float("inf")], ["0.1"], [True], None),
    ("marks", "details"): ({"path": ["a"]}, {"\0": 1}, None),
    ("directives", "tensors"): ([1], [["w0"]], None),
    ("tensor_stats", "no_value"): ({"std": 1}, {"std": None}, {"std": ["late"]}),
    ("spectra", "document"): (
        None,
        {},
        without(TOO_SMALL, "power_law"),
        {**TOO_SMALL, "raw": {"no_verdict": 5}},
        *({**TOO_SMALL, "raw": without(FIT, name)} for name in FIT),
        *({**TOO_SMALL, "raw": {**FIT, name: "1"}} for name in FIT),
        {**TOO_SMALL, "raw": {**FIT, "outliers": [{"side": "above"}]}},
        {**TOO_SMALL, "raw": {**FIT, "sigma": float("inf")}},
    ),
    ("alerts", "tensors"): (
        *([without(AFFECTED, name)] for name in AFFECTED),
        *([{**AFFECTED, name: ["x"]}] for name in AFFECTED if name != "statistics"),
        [{**AFFECTED, "statistics": "std"}],
        [{**AFFECTED, "id": True}],
        None,
    ),
    ("alerts", "explained_by"): (
        *([without(MARK, name)] for name in MARK),
        [{**MARK, "step": -1}],
        [{**MARK, "details": {"path": {}}}],
        None,
    ),
    ("alerts", "checkpoint"): (without(MARK, "step"), {**MARK, "kind": 1}),
    ("alerts", "evidence"): (
        {"good": ["a"]},
        {"good": {"a": "1"}},
        {"good": {"a": {"b": 1}}},
        {"detections": {}},
        {"followers": ["w0"]},
        {"parameters": nested(15)},
        {"level": float("nan")},
        None,
    ),
}  # fmt: skip
FITS = {
    ("alerts", "evidence"): ({"a": [1]}, {"a": {"b": 1}}),
    ("snapshots", "learning_rates"): ([None],),
    ("directives", "tensors"): (),
}
"""Of what fits nowhere else."""


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Members:
    """Of a short run in which every column of documents has one."""
    folder = tmp_path_factory.mktemp("archive")
    database = fresh_database(folder)
    run = LongPast(database, folder / "blobs", snapshots=5)
    told(database, run.attempt, silent("p/r"))
    with database.write() as session:
        alert = session.scalars(select(StoredAlert)).one()
        alert.tensors, alert.explained_by, alert.checkpoint = [AFFECTED], [MARK], MARK
        alert.evidence = {"good": {"a": 1}, "detections": [{"tensor": 1, "details": {}}]}
        snapshot = session.scalars(select(Snapshot)).first()
        assert snapshot is not None
        session.add(StoredMark(snapshot_id=snapshot.id, kind="resume", step=0, details={"a": 1}))
        session.add(
            StoredDirective(
                attempt_id=run.attempt, alert_id=alert.id, tensors=["w0"], every=1, first_step=1,
                last_step=2, created_at=0.0,
            )
        )  # fmt: skip
        session.add(
            Thinning(
                attempt_id=run.attempt, reached=[0, 0, 0], stage=None, block=None, definition="",
                sequence=4, state=Judge("r").snapshot(),
            )
        )  # fmt: skip
    write(database, open_blobs(str(folder / "blobs")), run.id, folder / "run.bifurk")
    database.close()
    return members_of(folder / "run.bifurk")


def told(database: Database, attempt: int, *alerts: Alert) -> None:
    with database.write() as session:
        for alert in alerts:
            report_alert(session, session.get_one(Attempt, attempt), alert, Policy(), now=0.0)


def silent(run: str) -> Alert:
    checkpoint = Mark(kind="checkpoint", step=5, details={"path": "a.pt", "bytes": 7})
    return silent_alert(
        run,
        last_step=10,
        last_sequence=1,
        seconds_since_last=900.0,
        usual_interval_seconds=None,
        checkpoint=checkpoint,
    )


def test_every_column_of_documents_has_a_form() -> None:
    columns = {
        (name, column.name)
        for name in REFERENCES
        for column in table_of(name).columns
        if isinstance(column.type, JSON)
    }
    assert columns == set(FORMS) == set(OF_COLUMN)


@pytest.mark.parametrize("place", OF_COLUMN, ids=".".join)
def test_a_document_of_another_form_is_refused(
    archive: Members, tmp_path: Path, place: tuple[str, str]
) -> None:
    table, column = place
    name = f"rows/{table}/000000.jsonl.zst"
    for document in (*ANY_COLUMN, *OF_COLUMN[place]):
        if document in FITS.get(place, ()):
            continue
        members = {one: archive[one] for one in ("manifest.json", name)}
        at(table, column, document)(members)
        with pytest.raises(InvalidError, match=column) as refused:
            read(packed(tmp_path / "spoilt.bifurk", members))
        assert len(str(refused.value)) < 300


def read(path: Path) -> None:
    """As an import does, but for the database."""
    with ArchiveReader(path) as archive:
        for name, rows in archive.chunks():
            check_rows(name, rows)


def test_what_is_refused_leaves_nothing_and_what_is_whole_comes_in(
    archive: Members, tmp_path: Path
) -> None:
    database = fresh_database(tmp_path)
    before = everything(database)
    spoilt = dict(archive)
    at("alerts", "evidence", {"good": {"a": "1"}})(spoilt)
    with pytest.raises(InvalidError, match=r"alerts.evidence is of another form \(good.a: "):
        bring(database, tmp_path, packed(tmp_path / "spoilt.bifurk", spoilt))
    assert everything(database) == before
    bring(database, tmp_path, packed(tmp_path / "whole.bifurk", archive))
    database.close()


@pytest.mark.parametrize(
    "values", [[], [1.0, 2.0], [2.0, -1.0], [np.nan, 1.0], [np.inf, 1.0], [3.0, 2.0, 1.0]]
)
def test_singular_values_that_no_matrix_has_are_refused(
    archive: Members, tmp_path: Path, values: list[float]
) -> None:
    members = dict(archive)
    data = np.array(values, dtype="<f8").tobytes()
    at("spectra", "singular_values", base64.b64encode(data).decode())(members)
    with pytest.raises(InvalidError, match="a row of spectra"):
        read(packed(tmp_path / "spoilt.bifurk", members))


def test_alerts_as_they_are_raised_have_the_form(tmp_path: Path) -> None:
    database = fresh_database(tmp_path)
    run = LongPast(database, tmp_path / "blobs", snapshots=1)
    tensors = gpt(layers=1)
    raised = judged(faulty(tensors, layer=0), tensors).values()
    left = alert_of(found_of(course(leaves(4)), least=1), sequence=60)
    told(database, run.attempt, *raised, silent("r"), left)
    columns = [column for table, column in FORMS if table == "alerts"]
    with database.read() as session:
        alerts = list(session.scalars(select(StoredAlert)))
    assert {"silent", "leaves_baseline", "regime_shift"} <= {alert.kind for alert in alerts}
    for alert in alerts:
        found = [wrong_form("alerts", column, getattr(alert, column)) for column in columns]
        assert found == [None] * len(columns)
    database.close()


def test_ids_of_good_runs_that_are_another_server_s_name_no_run_here(tmp_path: Path) -> None:
    database = fresh_database(tmp_path)
    run = LongPast(database, tmp_path / "blobs", snapshots=1)
    told(database, run.attempt, silent("r"))
    with database.write() as session:
        good = ensure_run(session, project="p", run="good", now=0.0).id
        elsewhere = ensure_run(session, project="q", run="else", now=0.0).id
        session.scalars(select(StoredAlert)).one().evidence = {
            "good": {"good": good, "other": good, "else": elsewhere, "gone": 99}
        }
    with database.read() as session:
        alert = session.scalars(select(StoredAlert)).one()
        found = good_still_there(session, ANYONE, alert)
    assert [one.id for one in found] == [good]
    database.close()


def test_spectra_as_they_are_measured_have_the_form() -> None:
    noise = np.random.default_rng(0).standard_normal((96, 64))
    spiked = noise + 4.0 * np.outer(noise[:, 0], noise[0])
    for matrix in (noise, spiked, noise[:3, :3], noise[:64], 1e-300 * noise):
        found = measure_spectrum(matrix, with_vectors=True)
        assert isinstance(found, MatrixSpectrum)
        document = json.loads(json.dumps(found.document()))
        assert wrong_form("spectra", "document", document) is None


@pytest.mark.parametrize("sigma", [0.0, 1e-320, 1.7e308])
def test_a_fit_that_no_float_can_draw_has_no_curve(sigma: float) -> None:
    document = {**TOO_SMALL, "raw": {**FIT, "sigma": sigma}}
    found = StoredSpectrum(
        step=0, rows=9, columns=3, singular_values=np.array([1.0]), document=document
    )
    assert fitted_curve(found) is None
