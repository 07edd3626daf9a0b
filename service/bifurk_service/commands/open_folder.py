"""``bifurk open DIR``: what an offline training wrote, shown by a server of its own."""

from __future__ import annotations

import tempfile
import threading
import time
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer

from bifurk.sync import Summary, sync
from bifurk.transport import Urllib3Transport
from bifurk_service.commands.rest import Json, Rest, RestError
from bifurk_service.errors import SetupError
from bifurk_service.settings import Settings
from bifurk_service.store.network_folders import network_filesystem

SERVER_FOLDER: Final = ".bifurk-server"
"""In the opened folder: opened again, it shows at once what was imported before."""
POLL_SECONDS: Final = 0.2
PATIENCE_SECONDS: Final = 300.0
"""Without any snapshot moving on; judging waits a minute at most for one that is missing."""


def open_folder(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", exists=True, file_okay=False, help="What `watch` wrote without a URL."
        ),
    ] = Path("bifurk"),
    *,
    browser: Annotated[bool, typer.Option(help="Open the browser.")] = True,
    exit_when_done: Annotated[
        bool, typer.Option("--exit", help="Import, judge, print a summary and end.")
    ] = False,
) -> None:
    """Show what an offline training wrote: start a server, import, open the browser.

    The files in DIR stay as they are: `python -m bifurk sync` can still send them elsewhere.
    """
    from bifurk_service.server import serving  # noqa: PLC0415 - slow, see ``bifurk serve``

    try:
        with _data_dir(folder) as data_dir, serving(_settings(data_dir)) as address:
            typer.echo(f"bifurk listens on {address}")
            _import(folder, address)
            if exit_when_done:
                _wait_until_judged(Rest(address))
            _show_runs(Rest(address))
            if not exit_when_done:
                _serve_on(address, browser=browser)
    except KeyboardInterrupt:
        typer.echo("bifurk has stopped")


@contextmanager
def _data_dir(folder: Path) -> Iterator[Path]:
    """The server's folder within the opened one, or a passing one where that cannot be."""
    inside = folder / SERVER_FOLDER
    if network_filesystem(folder) is None:
        try:
            inside.mkdir(exist_ok=True)
            with tempfile.TemporaryFile(dir=inside):
                pass
        except OSError:
            pass
        else:
            yield inside
            return
    with tempfile.TemporaryDirectory(prefix="bifurk-") as aside:
        typer.echo(f"{folder} cannot hold a database; using {aside} until the end")
        yield Path(aside)


def _settings(data_dir: Path) -> Settings:
    """Of a server that belongs to this folder alone, whatever the environment says of others."""
    return Settings.given(
        {
            "data_dir": data_dir,
            "database_url": None,
            "database_url_file": None,
            "blob_url": None,
            "host": "127.0.0.1",
            "port": 0,
            "allowed_hosts": (),
            "pipeline": True,
            "retention_days": None,
            "keep_bytes_per_run": None,
        }
    )


def _import(folder: Path, address: str) -> None:
    with _transport(address) as transport:
        summary: Summary = sync(
            folder, connect=lambda _recorded: transport, keep=True, report=typer.echo
        )
    if summary.stopped is not None:
        raise SetupError(f"the import stopped: {summary.stopped}")
    if summary.sent + summary.refused + summary.left == 0:
        typer.echo(f"there is nothing to import in {folder}")
    elif summary.refused or summary.left:
        typer.echo(f"{summary.refused} files are damaged or refused, {summary.left} were left")


@contextmanager
def _transport(address: str) -> Iterator[Urllib3Transport]:
    transport = Urllib3Transport(address)
    try:
        yield transport
    finally:
        transport.close()


def _wait_until_judged(rest: Rest) -> None:
    waiting, since = -1, time.monotonic()
    while True:
        now = sum(_waiting(rest, run) for run in rest.items("/api/v1/runs"))
        if now == 0:
            return
        if now != waiting:
            waiting, since = now, time.monotonic()
        if time.monotonic() - since > PATIENCE_SECONDS:
            raise RestError(f"{waiting} snapshots wait and none moves on")
        time.sleep(POLL_SECONDS)


def _waiting(rest: Rest, run: Json) -> int:
    counts = rest.get(f"/api/v1/runs/{run['id']}")["snapshots"]
    return int(counts["received"] + counts["measured"])


def _show_runs(rest: Rest) -> None:
    for run in rest.items("/api/v1/runs"):
        detail = rest.get(f"/api/v1/runs/{run['id']}")
        typer.echo(
            f"{run['project']}/{run['run']}: {detail['snapshots']['judged']} of "
            f"{detail['snapshots']['total']} snapshots judged, {sum(run['alerts'].values())} alerts"
        )
        for alert in rest.items("/api/v1/alerts", run=run["id"]):
            typer.echo(f"  {alert['severity']}: {alert['sentence']}")


def _serve_on(address: str, *, browser: bool) -> None:
    if browser:
        webbrowser.open(address)
    typer.echo(f"serving {address} until Ctrl-C")
    threading.Event().wait()
