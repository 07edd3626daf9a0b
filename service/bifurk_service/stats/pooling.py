"""One tensor's distribution over its shards, and several tensors' values together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from bifurk.exact import Exact
from bifurk.sketch import Sketch, key_format, merge, sketch, sketch_bits
from bifurk.wire import TensorPart
from bifurk_service.stats.distributions.distribution import (
    Distribution,
    from_counts,
    from_values,
)
from bifurk_service.stats.elements.element_table import element_statistics
from bifurk_service.stats.registry import BY_NAME, Family, names_of
from bifurk_service.stats.value import NoValue, Value

SHAPES_NOT_POOLED: Final = NoValue("shapes are not fitted to pooled tensors")


def distribution_of(pieces: Sequence[TensorPart]) -> Distribution:
    """The distribution of one tensor, over all pieces (shards) of it that came.

    Exact where every piece carries its values; otherwise of the summed counts, which is the
    same whatever the sharding: counts add.

    Args:
        pieces: of one tensor, at least one, any order.

    Raises:
        ValueError: there is no piece.
    """
    if not pieces:
        raise ValueError("a distribution needs at least one piece of the tensor, got none")
    return _together(pieces)


def pooled(tensors: Sequence[Sequence[TensorPart]]) -> Distribution:
    """The distribution of several tensors' values together, each given by its pieces.

    Every element counts once, so that a large tensor weighs more than a small one. The values
    are exact where every piece carries them or where all tensors are of one 16-bit dtype;
    otherwise they are rounded to the nearest bfloat16.

    Raises:
        ValueError: there is no tensor, or float16 tensors are to be pooled with others: their
            counts have other keys, and neither format holds all of the other's values.
    """
    pieces = [piece for tensor in tensors for piece in tensor]
    if not pieces:
        raise ValueError("pooling needs at least one tensor, got none")
    formats = {key_format(piece.dtype) for piece in pieces}
    if len(formats) > 1:
        dtypes = sorted({piece.dtype for piece in pieces})
        raise ValueError(
            f"counts of different formats ({', '.join(sorted(formats))}) cannot be pooled: "
            f"the tensors are {', '.join(dtypes)}"
        )
    return _together(pieces)


def pooled_statistics(distribution: Distribution) -> dict[str, Value]:
    """Every statistic of ``Family.ELEMENTS`` for pooled tensors.

    Levels, norms and quantiles are those of all values together. Shapes have no value: pooling
    tensors of different scale makes a shape that none of them has.
    """
    measured = element_statistics(distribution)
    return {
        name: measured[name] if BY_NAME[name].poolable else SHAPES_NOT_POOLED
        for name in names_of(Family.ELEMENTS)
    }


def counts_of(piece: TensorPart) -> Sketch:
    """The counts of what a piece carries: as they came, or counted from its exact values."""
    if piece.counts is not None:
        return piece.counts
    values = _values_of(piece)
    if values.dtype == "bfloat16":
        return sketch_bits(values.data.astype(np.uint16, copy=False), "bf16")
    return sketch(cast("NDArray[np.floating]", values.data))


def _together(pieces: Sequence[TensorPart]) -> Distribution:
    dtypes = {piece.dtype for piece in pieces}
    dtype = dtypes.pop() if len(dtypes) == 1 else "float32"
    if all(piece.counts is None for piece in pieces):
        return from_values(_joined([_values_of(piece) for piece in pieces]))
    # Of bfloat16 and float32 tensors together some values were rounded: "float32" says so.
    return from_counts(merge(counts_of(piece) for piece in pieces), dtype=dtype)


def _joined(values: Sequence[Exact]) -> Exact:
    if len(values) == 1:
        return values[0]
    dtypes = {one.dtype for one in values}
    if len(dtypes) == 1:
        return Exact(
            dtype=values[0].dtype, data=np.concatenate([one.data.reshape(-1) for one in values])
        )
    return Exact(
        dtype="float64", data=np.concatenate([one.float64().reshape(-1) for one in values])
    )


def _values_of(piece: TensorPart) -> Exact:
    assert piece.values is not None, "a part carries counts or values of every tensor"
    return piece.values
