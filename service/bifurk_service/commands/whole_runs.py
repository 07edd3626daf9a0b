"""A whole run to a file, and a run from one: through the database and its blobs, not a server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from bifurk_service.archives.bringing import bring_run
from bifurk_service.archives.writing import write_run
from bifurk_service.commands.audit import operator
from bifurk_service.commands.output import size
from bifurk_service.commands.whole_file import whole_file
from bifurk_service.settings import Settings
from bifurk_service.store.audit import Action, record_act
from bifurk_service.store.blobs import BlobStore, open_blobs
from bifurk_service.store.engine import Database
from bifurk_service.store.run_lists import run_summary
from bifurk_service.store.whole_runs import run_meant


def export_whole(run: str, file: Path) -> None:
    """Writes a run with all that belongs to it; the file takes its place when it is whole."""
    with _store() as (database, blobs):
        with database.read() as session:
            run_id = run_meant(session, run)
            found = run_summary(session, run_id)
        with whole_file(file) as aside, aside.open("wb") as into:
            counts = write_run(database, blobs, run_id, into)
        name = f"{found.project}/{found.run}"
        with database.write() as session:
            act = Action.RUN_EXPORTED
            record_act(session, operator(), act, target=name, detail=file.name, now=time.time())
    typer.echo(
        f"wrote {file} ({size(file.stat().st_size)}): {name}, {counts['snapshots']:,} snapshots, "
        f"{counts['blobs']:,} blobs, {counts['alerts']:,} alerts"
    )


def import_run(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="From `bifurk export`."),
    ],
    *,
    run: Annotated[str | None, typer.Option(help="Another name than it had.")] = None,
    project: Annotated[str | None, typer.Option(help="Another project than it was in.")] = None,
) -> None:
    """Bring in a whole run that `bifurk export` wrote to a .bifurk file, here or elsewhere."""
    with _store() as (database, blobs):
        made = bring_run(database, blobs, file, run=run, project=project, by=operator())
    typer.echo(
        f"run {made.run_id}, {made.project}/{made.run}: {made.rows:,} rows, {made.blobs:,} blobs"
    )


@contextmanager
def _store() -> Iterator[tuple[Database, BlobStore]]:
    from bifurk_service.server import prepare_schema  # noqa: PLC0415 - slow, see ``bifurk serve``

    settings = Settings()
    prepare_schema(settings)
    database = Database(settings.resolved_database_url)
    try:
        yield database, open_blobs(settings.resolved_blob_url)
    finally:
        database.close()
