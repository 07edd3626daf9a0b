"""``bifurk alerts``: what the detectors had to say."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from bifurk_service.commands.options import DEFAULT_URL, AsJson, Token, Url
from bifurk_service.commands.output import plain, show_facts, show_json, show_table, when
from bifurk_service.commands.rest import Json, Rest
from bifurk_service.commands.runs import find_run
from bifurk_service.domain import AlertState, Severity

app = typer.Typer(help="Alerts on a server: list, look into.", no_args_is_help=True)

MOST_TENSORS: Final = 20
"""Named on a terminal; ``--json`` gives all of them."""


@app.command("ls")
def list_alerts(  # noqa: PLR0913 - one argument an option
    *,
    run: Annotated[
        str | None, typer.Option(help="Only of this run: an id, a name, or PROJECT/NAME.")
    ] = None,
    project: Annotated[str | None, typer.Option(help="Only of this project.")] = None,
    since: Annotated[
        int | None, typer.Option(min=0, metavar="STEP", help="Seen at this step or later.")
    ] = None,
    kind: Annotated[list[str] | None, typer.Option(help="Only this kind; may be repeated.")] = None,
    severity: Annotated[
        list[Severity] | None, typer.Option(help="Only this severity; may be repeated.")
    ] = None,
    state: Annotated[
        list[AlertState] | None, typer.Option(help="Only in this state; may be repeated.")
    ] = None,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """List alerts in the order they were raised."""
    rest = Rest(url, token)
    found = list(
        rest.items(
            "/api/v1/alerts",
            run=None if run is None else find_run(rest, run)["id"],
            project=project,
            since=since,
            kind=kind,
            severity=[one.value for one in severity or []],
            state=[one.value for one in state or []],
        )
    )
    if as_json:
        show_json(found)
        return
    columns = ("ID", "SEVERITY", "STATE", "RUN", "STEP", "KIND", "SENTENCE")
    show_table(columns, [_row(alert) for alert in found])


@app.command()
def show(
    alert_id: Annotated[int, typer.Argument(metavar="ID", min=1, help="Its number in `ls`.")],
    *,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """Show one alert: what it says, of which tensors, and since when."""
    alert = Rest(url, token).get(f"/api/v1/alerts/{alert_id}")
    if as_json:
        show_json(alert)
        return
    typer.echo(plain(alert["sentence"]))
    typer.echo("")
    show_facts(_facts(alert))
    for tensor in alert["tensors"][:MOST_TENSORS]:
        typer.echo(_tensor(tensor))
    if len(alert["tensors"]) > MOST_TENSORS:
        typer.echo(f"  and {len(alert['tensors']) - MOST_TENSORS} more; --json lists all")


def _row(alert: Json) -> tuple[object, ...]:
    return (
        alert["id"],
        alert["severity"],
        alert["state"],
        f"{alert['project']}/{alert['run']}",
        alert["detected_step"],
        alert["kind"],
        alert["sentence"],
    )


def _facts(alert: Json) -> list[tuple[str, object]]:
    checkpoint = alert["checkpoint"]
    marks = [f"{mark['kind']} at step {mark['step']}" for mark in alert["explained_by"]]
    return [
        ("alert", alert["id"]),
        ("kind", alert["kind"]),
        ("severity", alert["severity"]),
        ("state", alert["state"]),
        ("run", f"{alert['project']}/{alert['run']}, attempt {alert['attempt']}"),
        ("began", f"between steps {alert['onset_first_step']} and {alert['onset_last_step']}"),
        ("seen", f"at step {alert['detected_step']}"),
        ("raised", when(alert["created_at"])),
        ("statistic", _change(alert["statistic"], alert)),
        ("probable cause", ", ".join(marks) or None),
        ("checkpoint", None if checkpoint is None else f"step {checkpoint['step']}"),
        ("tensors", len(alert["tensors"])),
    ]


def _tensor(tensor: Json) -> str:
    return f"  {plain(tensor['name'])}: {_change(', '.join(tensor['statistics']), tensor)}"


def _change(what: str, found: Json) -> str:
    return f"{what}, {_number(found['before'])} before, {_number(found['after'])} after"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"
