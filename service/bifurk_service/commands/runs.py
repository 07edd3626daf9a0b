"""``bifurk runs``: what a server has of trainings."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Final
from urllib.parse import quote

import typer

from bifurk.wire.tags import MAX_TAGS, normal_tag
from bifurk_service.commands.options import DEFAULT_URL, AsJson, Token, Url
from bifurk_service.commands.output import show_facts, show_json, show_table, size, when
from bifurk_service.commands.rest import Json, Rest, RestError
from bifurk_service.errors import InvalidError

app = typer.Typer(help="Runs on a server: list, look into, tag, delete.", no_args_is_help=True)

RunName = Annotated[
    str, typer.Argument(metavar="RUN", help="An id, a name, or PROJECT/NAME.", show_default=False)
]
SEVERITIES: Final = ("critical", "warning", "info")
NOT_FOUND: Final = 404


@app.command("ls")
def list_runs(
    *,
    project: Annotated[str | None, typer.Option(help="Only this project's.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option(help="Only with this tag; repeat for more.")
    ] = None,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """List runs, oldest first."""
    found = list(Rest(url, token).items("/api/v1/runs", project=project, tag=tag))
    if as_json:
        show_json(found)
        return
    show_table(
        ("ID", "PROJECT", "RUN", "STATE", "STEP", "ALERTS", "LAST HEARD OF", "TAGS"),
        [
            (
                run["id"],
                run["project"],
                run["run"],
                run["state"],
                run["last_step"],
                alert_counts(run),
                when(run["updated_at"]),
                " ".join(run["tags"]),
            )
            for run in found
        ],
    )


@app.command()
def show(
    name: RunName,
    *,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """Show one run: its attempts, where its snapshots are, how ready its verdicts are."""
    rest = Rest(url, token)
    run = rest.get(f"/api/v1/runs/{find_run(rest, name)['id']}")
    if as_json:
        show_json(run)
        return
    show_facts([*_facts(run), *_kept(rest, run)])
    for attempt in run["attempts"]:
        typer.echo("")
        show_facts(_attempt_facts(attempt))


@app.command("tag")
def change_tags(
    name: RunName,
    tags: Annotated[list[str], typer.Argument(metavar="TAGS", help="Words to find it by.")],
    *,
    remove: Annotated[bool, typer.Option("--remove", help="Take them off again.")] = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """Tag a run, and list it by `bifurk runs ls --tag TAG` from then on: all tags or none."""
    words = _checked(tags)
    rest = Rest(url, token)
    run = find_run(rest, name)
    if not remove:
        _check_room(run, words)
    for tag in words:
        path = f"/api/v1/runs/{run['id']}/tags/{quote(tag, safe='')}"
        if remove:
            rest.delete(path)
        else:
            rest.put(path)
    tagged = rest.get(f"/api/v1/runs/{run['id']}")
    if as_json:
        show_json(tagged)
        return
    typer.echo(f"{tagged['project']}/{tagged['run']}: {' '.join(tagged['tags']) or 'no tag'}")


@app.command("rm")
def remove(
    name: RunName,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """Delete a run with its statistics, alerts and blobs; there is no way back."""
    rest = Rest(url, token)
    run = find_run(rest, name)
    detail = rest.get(f"/api/v1/runs/{run['id']}")
    title = f"{run['project']}/{run['run']} (id {run['id']})"
    held = f"{detail['snapshots']['total']:,} snapshots, about {size(detail['stored_bytes'])}"
    if not yes:
        if not sys.stdin.isatty():
            raise typer.BadParameter(f"nobody to ask whether to delete {title}, {held}; pass --yes")
        if detail["state"] == "running":
            typer.echo("It is running: what its client sends from now on begins the run afresh.")
        typer.confirm(f"Delete {title}, {held}, for good?", abort=True)
    rest.delete(f"/api/v1/runs/{run['id']}")
    typer.echo(f"deleted {title}: {held}")


def find_run(rest: Rest, name: str) -> Json:
    """The run that a person means: by id, by name where only one has it, or by project/name.

    Raises:
        RestError: none is meant, or several are.
    """
    project, slash, run = name.rpartition("/")
    if not slash and name.isascii() and name.isdigit():
        try:
            return rest.get(f"/api/v1/runs/{name}")
        except RestError as error:
            if error.answered != NOT_FOUND:
                raise
    found = list(rest.items("/api/v1/runs", run=run, project=project or None))
    if not found:
        raise RestError(f"no run {name!r} at {rest.url}; `bifurk runs ls` lists them")
    if len(found) > 1:
        choices = ", ".join(f"{one['project']}/{one['run']}" for one in found)
        raise RestError(f"{name!r} is the name of several runs; say which: {choices}")
    return found[0]


def _checked(tags: Sequence[str]) -> tuple[str, ...]:
    """Tags as the server stores them, each once."""
    try:
        return tuple(dict.fromkeys(map(normal_tag, tags)))
    except ValueError as error:
        raise InvalidError(str(error), where="tag") from error


def _check_room(run: Json, tags: Sequence[str]) -> None:
    count = len({*run["tags"], *tags})
    if count > MAX_TAGS:
        raise InvalidError(
            f"{run['project']}/{run['run']} would have {count} tags and may have {MAX_TAGS}; "
            "none was put on: remove some first, or name fewer",
            where="tag",
        )


def _facts(run: Json) -> list[tuple[str, object]]:
    snapshots = ", ".join(f"{count} {state}" for state, count in run["snapshots"].items() if count)
    return [
        ("id", run["id"]),
        ("run", f"{run['project']}/{run['run']}"),
        ("name", run["display_name"]),
        ("tags", " ".join(run["tags"]) or None),
        ("state", run["state"]),
        ("last step", run["last_step"]),
        ("last heard of", when(run["updated_at"])),
        ("alerts", alert_counts(run)),
        ("snapshots", snapshots or "none"),
        ("verdicts", run["readiness"]["text"]),
        ("scalars", ", ".join(run["scalars"]) or None),
        ("train at the same time", ", ".join(run["live_together"]) or None),
    ]


def _attempt_facts(attempt: Json) -> list[tuple[str, object]]:
    dropped = ", ".join(f"{count} {reason}" for reason, count in attempt["dropped"].items())
    overhead = attempt["overhead_ratio"]
    return [
        ("attempt", attempt["attempt"]),
        ("state", attempt["state"]),
        ("began", when(attempt["created_at"])),
        ("ended", when(attempt["ended_at"])),
        ("optimizer", attempt["optimizer"] or None),
        ("last step", attempt["last_step"]),
        ("to the run", _to_the_run(attempt)),
        ("never came", dropped or None),
        ("overhead", None if overhead is None else f"{overhead:.2%} of the training time"),
    ]


def _to_the_run(attempt: Json) -> str | None:
    if attempt["first_step"] is None:
        return None
    if attempt["course_end"] is None:
        return f"its course from step {attempt['first_step']}"
    if not attempt["on_course"]:
        return f"a branch from step {attempt['first_step']}"
    return f"its course from step {attempt['first_step']}, a branch from {attempt['course_end']}"


def _kept(rest: Rest, run: Json) -> list[tuple[str, object]]:
    pins = rest.get(f"/api/v1/runs/{run['id']}/pins")["items"]
    return [
        *kept_facts(run),
        *((f"pin {one['id']}", f"steps {one['first_step']} to {one['last_step']}") for one in pins),
    ]


def kept_facts(run: Json) -> list[tuple[str, object]]:
    """What a run takes, how long and how much of it is kept."""
    most = run["keep_bytes"]
    thinned = ", ".join(f"steps {first} to {last}" for first, last in run["thinned"])
    return [
        ("size", f"about {size(run['stored_bytes'])}"),
        ("kept for days", run["retention_days"]),
        ("kept within", None if most is None else size(most)),
        ("thinned", thinned or None),
    ]


def alert_counts(run: Json) -> str:
    """Its standing alerts by severity, the gravest first."""
    counts = run["alerts"]
    return ", ".join(f"{counts[s]} {s}" for s in SEVERITIES if counts.get(s)) or "none"
