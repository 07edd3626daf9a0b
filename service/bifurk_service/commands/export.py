"""``bifurk export``: a run's statistics in one file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import numpy as np
import typer

from bifurk_service.archives.form import SUFFIX
from bifurk_service.commands.dataset import fetch_dataset
from bifurk_service.commands.options import DEFAULT_URL, Token, Url
from bifurk_service.commands.rest import Rest
from bifurk_service.commands.runs import RunName, find_run
from bifurk_service.commands.whole_file import whole_file
from bifurk_service.commands.whole_runs import export_whole
from bifurk_service.domain import steps_in_words

if TYPE_CHECKING:
    import xarray

PARQUET, NETCDF = ".parquet", ".nc"
LARGEST_NETCDF_STEP: Final = np.iinfo(np.int32).max
"""NetCDF 3 knows no wider integer; larger steps are written as float64, exact up to 2^53."""


def export(
    run: RunName,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="Ends in .parquet, .nc or .bifurk.", show_default=False
        ),
    ],
    *,
    attempt: Annotated[
        str | None, typer.Option(help="Only what this attempt saw; else the run's course.")
    ] = None,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """Write all statistics of a run to one file: Parquet, or NetCDF for xarray; or all of it.

    A .bifurk file holds the whole run, for `bifurk import run`; it is read from the database and
    the blobs themselves (BIFURK_DATA_DIR, BIFURK_DATABASE_URL, BIFURK_BLOB_URL), not from a server.
    """
    if file.suffix == SUFFIX:
        export_whole(run, file)
        return
    if file.suffix not in (PARQUET, NETCDF):
        raise typer.BadParameter(
            f"a file ends in {PARQUET}, {NETCDF} or {SUFFIX}, got {file.name!r}"
        )
    rest = Rest(url, token)
    found = find_run(rest, run)
    with whole_file(file) as aside:
        if file.suffix == PARQUET:
            with aside.open("wb") as into:
                rest.download(f"/api/v1/runs/{found['id']}/export", into, attempt=attempt)
        else:
            _write_netcdf(fetch_dataset(rest, found["id"], attempt=attempt), aside)
    typer.echo(f"wrote {file} ({file.stat().st_size:,} bytes)")
    if attempt is None:
        _say_where_thinned(rest.get(f"/api/v1/runs/{found['id']}")["thinned"])


def _say_where_thinned(ranges: Sequence[Sequence[int]]) -> None:
    if ranges:
        typer.echo(
            f"steps {steps_in_words(ranges)} are thinned: of them the file has the snapshots that "
            "were left whole"
        )


def _write_netcdf(dataset: xarray.Dataset, path: Path) -> None:
    wide = int(dataset["step"].max()) > LARGEST_NETCDF_STEP if dataset.sizes["step"] else False
    for name, coordinate in dataset.coords.items():
        if coordinate.dtype == np.int64 and (wide or name != "step"):
            coordinate.encoding["dtype"] = "float64"
    dataset.to_netcdf(path, engine="scipy")
