"""``bifurk compare``: where two runs part, which layers, and by how much."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from bifurk_service.commands.options import DEFAULT_URL, AsJson, Token, Url
from bifurk_service.commands.output import plain, show_json, show_table
from bifurk_service.commands.rest import Json, Rest, RestError
from bifurk_service.commands.runs import RunName, find_run

MOST_TENSORS: Final = 12
"""Of a table on a terminal; ``--json`` gives all of them."""

Good = Annotated[
    str,
    typer.Argument(
        metavar="GOOD", help="The run to compare with, named the same way.", show_default=False
    ),
]


def compare(  # noqa: PLR0913 - one argument an option
    run: RunName,
    good: Good,
    *,
    step: Annotated[
        int | None,
        typer.Option(min=0, help="Compare at this step; else at the newest that both have."),
    ] = None,
    with_step: Annotated[
        int | None, typer.Option(min=0, help="The other's step; else the same.")
    ] = None,
    attempt: Annotated[str | None, typer.Option(help="Of this attempt of RUN.")] = None,
    with_attempt: Annotated[
        str | None, typer.Option(help="Of this attempt of GOOD, which may be RUN itself.")
    ] = None,
    tensor: Annotated[str | None, typer.Option(help="Only tensors of this name (glob).")] = None,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """Compare two runs in words: where they part, which layers, by how much."""
    rest = Rest(url, token)
    this, other = find_run(rest, run), find_run(rest, good)
    if this["id"] == other["id"] and with_step is None and attempt == with_attempt:
        raise RestError(
            f"both names mean {this['project']}/{this['run']} (id {this['id']}); name another run, "
            "or another step or attempt of this one with --with-step or --with-attempt"
        )
    comparison = rest.get(
        f"/api/v1/runs/{this['id']}/compare",
        **{"with": other["id"]},
        step=step,
        with_step=with_step,
        attempt=attempt,
        with_attempt=with_attempt,
        tensor=tensor,
    )
    if as_json:
        show_json(comparison)
        return
    for sentence in comparison["sentences"]:
        typer.echo(plain(sentence))
    rows = _rows(comparison)
    if rows:
        typer.echo("")
        show_table(("TENSOR", "LAYER", "PARTED AT", "STATISTIC", "RATIO", "KS", "SHIFT"), rows)


def _rows(comparison: Json) -> list[tuple[object, ...]]:
    """The tensors that part, or else that differ most: at most ``MOST_TENSORS``."""
    parting = comparison["parting"] or {"tensors": []}
    parted = {one["tensor"]["name"]: one for one in parting["tensors"]}
    apart = [one for one in comparison["tensors"] if one["ks"] or one["tensor"]["name"] in parted]
    ordered = sorted(
        apart,
        key=lambda one: (
            parted.get(one["tensor"]["name"], {}).get("step", float("inf")),
            -(one["ks"] or 0.0),
        ),
    )
    return [_row(one, parted.get(one["tensor"]["name"], {})) for one in ordered[:MOST_TENSORS]]


def _row(compared: Json, parted: Json) -> tuple[object, ...]:
    return (
        compared["tensor"]["name"],
        compared["tensor"]["layer"],
        parted.get("step"),
        parted.get("statistic"),
        _number(parted.get("ratio")),
        _number(compared["ks"]),
        _number(compared["wasserstein_1_sigma"]),
    )


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.3g}"
