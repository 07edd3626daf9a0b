"""A table of statistics as a stream of Parquet, one row group at a time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from bifurk_service.stats.registry import BY_NAME
from bifurk_service.stats.statistic import Statistic
from bifurk_service.store.exporting import ExportRows, ExportSelection

WORDS: Final = pa.dictionary(pa.int32(), pa.string())


def parquet_stream(
    rows: Iterable[ExportRows], selection: ExportSelection, about: dict[str, Any]
) -> Iterator[bytes]:
    """The bytes of a Parquet file; its memory is that of one item of ``rows``.

    Columns: ``tensor`` (name), ``tensor_id``, ``piece_of``, ``layer``, ``role``, ``step``,
    ``attempt``, then the statistics, null without a value. What each statistic is stands in its
    field's metadata (unit, nature, formula; labels of a class), ``about`` in the file's, under
    ``bifurk``.
    """
    schema = _schema(selection, about)
    pipe = _Pipe()
    with pq.ParquetWriter(pa.PythonFile(pipe, mode="w"), schema, compression="zstd") as writer:
        for group in rows:
            writer.write_table(_table(schema, group, selection))
            yield pipe.taken()
    yield pipe.taken()


def _schema(selection: ExportSelection, about: dict[str, Any]) -> pa.Schema:
    return pa.schema(
        [
            pa.field("tensor", WORDS, nullable=False),
            pa.field("tensor_id", pa.int64(), nullable=False),
            pa.field("piece_of", pa.int64()),
            pa.field("layer", pa.int32()),
            pa.field("role", WORDS, nullable=False),
            pa.field("step", pa.int64(), nullable=False),
            pa.field("attempt", WORDS, nullable=False),
            *(
                pa.field(name, pa.float64(), metadata=_description(BY_NAME[name]))
                for name in selection.statistics
            ),
        ],
        metadata={"bifurk": json.dumps(about)},
    )


def _description(statistic: Statistic) -> dict[str, str]:
    described = {
        "unit": statistic.unit,
        "nature": statistic.nature.value,
        "formula": statistic.formula,
        "definition_version": str(statistic.definition_version),
    }
    return described | ({"labels": ", ".join(statistic.labels)} if statistic.labels else {})


def _table(schema: pa.Schema, group: ExportRows, selection: ExportSelection) -> pa.Table:
    tensors, places = selection.tensors, pa.array(group.tensors)
    columns = [
        _words([tensor.name for tensor in tensors], places),
        pa.array([tensor.id for tensor in tensors], pa.int64()).take(places),
        pa.array([tensor.piece_of for tensor in tensors], pa.int64()).take(places),
        pa.array([tensor.layer for tensor in tensors], pa.int32()).take(places),
        _words([tensor.role for tensor in tensors], places),
        pa.array(group.steps),
        _words(list(group.names), pa.array(group.attempts)),
        *(pa.array(column, from_pandas=True) for column in group.values.T),
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _words(values: list[str], places: pa.Array) -> pa.DictionaryArray:
    distinct = {word: index for index, word in enumerate(dict.fromkeys(values))}
    indices = pa.array([distinct[value] for value in values], pa.int32()).take(places)
    return pa.DictionaryArray.from_arrays(indices, pa.array(list(distinct), pa.string()))


class _Pipe:
    """A file that is written at one end and taken away at the other."""

    def __init__(self) -> None:
        self._position = 0
        self._held: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> int:
        self._held.append(bytes(data))
        self._position += len(data)
        return len(data)

    def tell(self) -> int:
        return self._position

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        self.closed = True

    def taken(self) -> bytes:
        """What was written since it was asked last."""
        data = b"".join(self._held)
        self._held.clear()
        return data
