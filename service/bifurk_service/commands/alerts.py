"""``bifurk alerts``: what the detectors had to say, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, TypeAlias

import typer

from bifurk_service.commands.options import DEFAULT_URL, AsJson, Token, Url
from bifurk_service.commands.output import plain, show_facts, show_json, show_table, when
from bifurk_service.commands.rest import Json, Rest
from bifurk_service.commands.runs import find_run
from bifurk_service.domain import AlertState, Severity

app = typer.Typer(
    help="Alerts on a server: list, look into, acknowledge, resolve.", no_args_is_help=True
)

MOST_TENSORS: Final = 20
"""Named on a terminal; ``--json`` gives all of them."""

AlertNumber: TypeAlias = Annotated[
    int, typer.Argument(metavar="ID", min=1, help="Its number in `ls`.")
]
Note: TypeAlias = Annotated[
    str | None, typer.Option(help="Why, for its history.", show_default=False)
]


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
    show_alerts(found)


def show_alerts(found: Sequence[Json]) -> None:
    """Prints alerts as REST lists them, one a row."""
    columns = ("ID", "SEVERITY", "STATE", "RUN", "STEP", "KIND", "SENTENCE")
    show_table(columns, [_row(alert) for alert in found])


@app.command()
def show(
    alert_id: AlertNumber,
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


@app.command()
def acknowledge(
    alert_id: AlertNumber, *, note: Note = None, url: Url = DEFAULT_URL, token: Token = None
) -> None:
    """Say that you have seen an alert; its parts are acknowledged with it."""
    _move(Rest(url, token), alert_id, "acknowledge", note)


@app.command()
def resolve(
    alert_id: AlertNumber, *, note: Note = None, url: Url = DEFAULT_URL, token: Token = None
) -> None:
    """Say that an alert is over, and its parts with it; there is no way back."""
    _move(Rest(url, token), alert_id, "resolve", note)


def _move(rest: Rest, alert_id: int, verb: str, note: str | None) -> None:
    given = {} if note is None else {"note": note}
    alert = rest.post(f"/api/v1/alerts/{alert_id}/{verb}", given)
    typer.echo(f"alert {alert['id']} is {plain(alert['state'])}")


@app.command()
def history(
    alert_id: AlertNumber, *, as_json: AsJson = False, url: Url = DEFAULT_URL, token: Token = None
) -> None:
    """Show what has happened to an alert, when and by whom."""
    changes = list(Rest(url, token).items(f"/api/v1/alerts/{alert_id}/history"))
    if as_json:
        show_json(changes)
        return
    names = ("change", "state", "severity", "who", "note")
    show_table(
        ("AT", "CHANGE", "STATE", "SEVERITY", "WHO", "NOTE"),
        [(when(change["at"]), *(change[name] for name in names)) for change in changes],
    )


def _row(alert: Json) -> tuple[object, ...]:
    return (
        alert["id"],
        alert["severity"],
        standing(alert),
        f"{alert['project']}/{alert['run']}",
        alert["detected_step"],
        alert["kind"],
        alert["sentence"],
    )


def standing(alert: Json) -> str:
    """Its state, and what keeps it from standing for itself."""
    marks = (
        (alert["silenced_by"] is not None, "silenced"),
        (alert["superseded"], "superseded"),
        (alert["parent"] is not None, f"part of {alert['parent']}"),
    )
    return ", ".join([alert["state"], *(mark for holds, mark in marks if holds)])


def _facts(alert: Json) -> list[tuple[str, object]]:
    checkpoint = alert["checkpoint"]
    marks = [f"{mark['kind']} at step {mark['step']}" for mark in alert["explained_by"]]
    return [
        ("alert", alert["id"]),
        ("kind", alert["kind"]),
        ("severity", alert["severity"]),
        ("state", alert["state"]),
        ("silenced by", alert["silenced_by"]),
        ("superseded", "a later attempt went over it again" if alert["superseded"] else None),
        ("part of", alert["parent"]),
        ("parts", ", ".join(map(str, alert["children"])) or None),
        ("run", f"{alert['project']}/{alert['run']}, attempt {alert['attempt']}"),
        ("began", f"between steps {alert['onset_first_step']} and {alert['onset_last_step']}"),
        ("seen", f"at step {alert['detected_step']}"),
        ("raised", when(alert["created_at"])),
        ("resolved", when(alert["resolved_at"])),
        ("statistic", _change(alert["statistic"], alert)),
        ("false alarms", _false_alarms(alert["false_alarms_per_10000"])),
        ("probable cause", ", ".join(marks) or None),
        ("checkpoint", None if checkpoint is None else f"step {checkpoint['step']}"),
        ("tensors", len(alert["tensors"])),
    ]


def _false_alarms(rate: float | None) -> str | None:
    return (
        None
        if rate is None
        else f"{rate:.3g} in 10,000 snapshots of one series in which nothing happens"
    )


def _tensor(tensor: Json) -> str:
    return f"  {plain(tensor['name'])}: {_change(', '.join(tensor['statistics']), tensor)}"


def _change(what: str, found: Json) -> str:
    return f"{what}, {_number(found['before'])} before, {_number(found['after'])} after"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"
