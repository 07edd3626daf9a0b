"""``bifurk import``: series computed elsewhere, for the detectors to watch."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from enum import StrEnum
from itertools import groupby
from pathlib import Path
from typing import Annotated, Final

import typer

from bifurk_service.commands.options import DEFAULT_URL, Token, Url
from bifurk_service.commands.rest import Rest
from bifurk_service.errors import InvalidError
from bifurk_service.importing.points import MOST_POINTS, Point
from bifurk_service.importing.series_text import Form, read_points
from bifurk_service.importing.tensorboard import read_event_files

app = typer.Typer(help="Bring in series computed elsewhere.", no_args_is_help=True)

SUFFIXES: Final[dict[str, Form]] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}

RunName = Annotated[
    str | None, typer.Option(help="Name of the run; the file's or folder's own without it.")
]
ProjectName = Annotated[str, typer.Option(help="Its project.")]


class FileForm(StrEnum):
    """How a file of series is written."""

    CSV = "csv"
    JSONL = "jsonl"


@app.command()
def series(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="CSV or JSON lines.")
    ],
    *,
    run: RunName = None,
    project: ProjectName = "default",
    form: Annotated[
        FileForm | None, typer.Option("--format", help="Where the suffix does not tell.")
    ] = None,
    nature: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=NATURE",
            help="integrated, stationary or bounded, of a statistic bifurk does not know.",
        ),
    ] = None,
    log: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Watch this statistic on its logarithm."),
    ] = None,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """Import a table of step, tensor, statistic and value."""
    how = form.value if form else SUFFIXES.get(file.suffix.lower())
    if how is None:
        raise InvalidError(f"{file.name}: say --format csv or --format jsonl")
    with file.open(encoding="utf-8-sig", newline="") as lines:
        try:
            points = list(read_points(lines, how))
        except UnicodeDecodeError as error:
            raise InvalidError(f"{file.name} is not UTF-8 text: {error.reason}") from None
        except InvalidError as error:
            raise InvalidError(f"{file.name}, {error.where}: {error.detail}") from None
    described = {"nature": nature or [], "log": log or []}
    _send(Rest(url, token), points, run=run or file.stem, project=project, described=described)


@app.command()
def tensorboard(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", exists=True, file_okay=False, help="Holds event files."),
    ],
    *,
    run: RunName = None,
    project: ProjectName = "default",
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """Import the scalars and histograms of TensorBoard's event files."""
    points = _last_of_each(read_event_files(folder))
    name = run or folder.resolve().name
    _send(Rest(url, token), points, run=name, project=project, described={})


def _last_of_each(points: Iterable[Point]) -> list[Point]:
    """One point a place: a training that went back and wrote a step again means the later one."""
    return list({(p.step, p.tensor, p.statistic): p for p in points}.values())


def _send(
    rest: Rest, points: list[Point], *, run: str, project: str, described: dict[str, list[str]]
) -> None:
    made = rest.post("/api/v1/runs", {"project": project, "run": run})
    total = new = steps = 0
    for lines in _batches(points):
        answer = rest.upload(
            f"/api/v1/runs/{made['id']}/series",
            "\n".join(lines).encode(),
            media_type="application/x-ndjson",
            **described,
        )
        total, new = total + answer["points"], new + answer["new_points"]
        steps += answer["new_steps"]
    typer.echo(f"run {made['id']}, {project}/{run}: {new} of {total} values new, {steps} new steps")


def _batches(points: list[Point]) -> Iterator[list[str]]:
    """JSON lines of whole steps, in their order, as many as a request takes."""
    batch: list[str] = []
    for step, group in groupby(sorted(points, key=lambda p: p.step), key=lambda p: p.step):
        of_step = [_line(point) for point in group]
        if len(of_step) > MOST_POINTS:
            raise InvalidError(
                f"step {step} has {len(of_step)} values; a step travels whole, in at most "
                f"{MOST_POINTS}: import fewer tensors or statistics"
            )
        if len(batch) + len(of_step) > MOST_POINTS:
            yield batch
            batch = []
        batch += of_step
    if batch or not points:
        yield batch


def _line(point: Point) -> str:
    value = point.value if math.isfinite(point.value) else None
    return json.dumps({**point._asdict(), "value": value})
