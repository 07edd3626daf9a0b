"""``bifurk`` on the command line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from bifurk_service.commands import (
    alerts,
    audit,
    channels,
    compare,
    db,
    demo,
    doctor,
    evidence,
    export,
    importing,
    keeping,
    open_folder,
    replay,
    report,
    run,
    runs,
    tokens,
    top,
    whole_runs,
    worker,
)
from bifurk_service.errors import BifurkError
from bifurk_service.logs import configure
from bifurk_service.settings import Settings

app = typer.Typer(
    help="Watches how a model's weights move while it trains.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.command()
def serve(
    data_dir: Annotated[Path | None, typer.Option(help="Folder of database and blobs.")] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="Port; 0 takes a free one.")
    ] = None,
) -> None:
    """Start the server: SQLite and a folder, no other service."""
    # Its imports take two seconds, for which no other command should wait.
    from bifurk_service.server import serve as run_server  # noqa: PLC0415

    given = {"data_dir": data_dir, "host": host, "port": port}
    settings = Settings.given({name: value for name, value in given.items() if value is not None})
    configure(as_json=settings.log_format == "json", level=settings.log_level)
    try:
        run_server(settings, on_ready=lambda address: _say(f"bifurk listens on {address}"))
    except KeyboardInterrupt:
        _say("bifurk has stopped")


app.command("worker")(worker.worker)
app.command("open")(open_folder.open_folder)
app.command("demo")(demo.demo)
app.command("run", context_settings=run.AS_THEY_ARE)(run.run)
runs.app.command("keep")(keeping.keep)
runs.app.command("pin")(keeping.pin)
runs.app.command("unpin")(keeping.unpin)
app.add_typer(runs.app, name="runs")
alerts.app.command("evidence")(evidence.evidence)
alerts.app.command("verify")(evidence.verify)
app.add_typer(alerts.app, name="alerts")
app.command("top")(top.top)
app.add_typer(channels.app, name="channels")
app.command("replay")(replay.replay)
app.command("compare")(compare.compare)
app.command("export")(export.export)
app.command("report")(report.report)
importing.app.command("run")(whole_runs.import_run)
app.add_typer(importing.app, name="import")
app.command("doctor")(doctor.doctor)
app.add_typer(tokens.app, name="token")
app.add_typer(audit.app, name="audit")
app.add_typer(db.app, name="db")


def main() -> None:
    """The entry point: what is wrong with the set-up is one line, not a traceback."""
    try:
        app()
    except BifurkError as error:
        _fail(error.detail)
    except ValidationError as error:
        _fail("; ".join(f"{_variable(found['loc'])}: {found['msg']}" for found in error.errors()))


def _variable(place: tuple[int | str, ...]) -> str:
    return "BIFURK_" + "_".join(str(part) for part in place).upper()


def _fail(problem: str) -> None:
    typer.secho(f"bifurk: {problem}", fg="red", err=True)
    sys.exit(1)


def _say(line: str) -> None:
    typer.echo(line, err=True)
