"""A run's statistics as an xarray dataset, read from a server in one request."""

from __future__ import annotations

import json
import tempfile
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.commands.rest import Rest, RestError
from bifurk_service.commands.runs import find_run
from bifurk_service.domain import steps_in_words

if TYPE_CHECKING:
    import xarray

KEYS: Final = ("tensor", "tensor_id", "piece_of", "layer", "role", "step", "attempt")
"""The columns that say which tensor and step a row is of; all others are statistics."""
EXTRA: Final = "pip install 'bifurk[service,export]'"


def fetch_dataset(rest: Rest, run: int | str, *, attempt: str | None = None) -> xarray.Dataset:
    """All statistics of a run or of one attempt: dimensions ``tensor`` and ``step``.

    See ``bifurk_service.dataset``.

    Raises:
        RestError: no answer, no such run, or what reads Parquet is not installed.
    """
    parquet, _ = _module("pyarrow.parquet"), _module("xarray")
    found = find_run(rest, str(run))
    with tempfile.TemporaryDirectory(prefix="bifurk-") as folder:
        path = Path(folder) / "run.parquet"
        with path.open("wb") as file:
            rest.download(f"/api/v1/runs/{found['id']}/export", file, attempt=attempt)
        table = parquet.read_table(path)
    return _dataset(table)


def _module(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise RestError(f"this needs {name.partition('.')[0]}; {EXTRA} adds it") from error


def _dataset(table: Any) -> xarray.Dataset:
    dataset: type[xarray.Dataset] = import_module("xarray").Dataset
    keys = table.select(KEYS).to_pydict()
    first_row = {name: row for row, name in reversed(list(enumerate(keys["tensor"])))}
    tensors = list(dict.fromkeys(keys["tensor"]))
    steps, first_of_step, at_step = np.unique(
        np.array(keys["step"], dtype=np.int64), return_index=True, return_inverse=True
    )
    place = {name: index for index, name in enumerate(tensors)}
    at_tensor = np.array([place[name] for name in keys["tensor"]], dtype=np.int64)

    def of_tensor(column: str) -> list[Any]:
        return [keys[column][first_row[name]] for name in tensors]

    def grid(column: Any) -> NDArray[np.float64]:
        values = np.full((len(tensors), steps.size), np.nan)
        values[at_tensor, at_step] = column.to_numpy(zero_copy_only=False)
        return values

    return dataset(
        {
            field.name: (("tensor", "step"), grid(table[field.name]), _attributes(field))
            for field in table.schema
            if field.name not in KEYS
        },
        coords={
            "tensor": tensors,
            "step": ("step", steps, {"units": "optimizer steps"}),
            "attempt": ("step", [keys["attempt"][row] for row in first_of_step]),
            "layer": ("tensor", np.array(of_tensor("layer"), dtype=np.float64)),
            "role": ("tensor", of_tensor("role")),
            "tensor_id": ("tensor", np.array(of_tensor("tensor_id"), dtype=np.int64)),
        },
        attrs=_about(table),
    )


def _about(table: Any) -> dict[str, Any]:
    """What the file says of itself; of ``thinned`` in words, which NetCDF takes too."""
    about: dict[str, Any] = json.loads(table.schema.metadata[b"bifurk"])
    return about | {"thinned": steps_in_words(about.get("thinned", []))}


def _attributes(field: Any) -> dict[str, str]:
    """What the server says of a statistic; its unit under the name that plots look for."""
    said = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
    return {"units" if key == "unit" else key: value for key, value in said.items()}
