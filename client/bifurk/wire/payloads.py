"""The arrays of a part, handed out tensor by tensor in the manifest's order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bifurk.exact import STORAGE, Exact
from bifurk.sketch import Sketch, key_format, key_values
from bifurk.wire.counts import DTYPES, RawCounts, unpack_counts
from bifurk.wire.errors import WireError
from bifurk.wire.fields import shown

Array = NDArray[Any]

KINDS: Final = ("counts", "values", "sample", "full")
"""What a tensor can carry; also the first word of each entry's name."""


class Payloads:
    """Reads each array once and insists at the end that all of it was spoken for."""

    def __init__(self, arrays: dict[str, Array], *, sketch_count: int) -> None:
        self._arrays = dict(arrays)
        self._packed: dict[str, Array] = {}
        self._cursors: dict[str, int] = {}
        self._sketches = self._unpack(sketch_count)

    def counts(self, dtype: str, where: str) -> Sketch:
        """The next tensor's counts."""
        raw = next(self._sketches)
        form = key_format(dtype)
        if np.isnan(key_values(form)[raw.keys]).any():
            raise WireError(where, f"a key stands for no finite {form} value")
        nan, positive, negative = raw.nonfinite.tolist()
        return Sketch(
            format=form,
            keys=raw.keys,
            counts=raw.counts,
            nan=nan,
            positive_infinite=positive,
            negative_infinite=negative,
        )

    def packed(self, kind: str, dtype: str, size: int, where: str) -> Exact:
        """The next ``size`` elements of the ``values`` or ``sample`` of this dtype, flat."""
        entry = f"{kind}.{dtype}"
        if entry not in self._packed:
            # A copy, so that keeping one tensor's sample does not keep the whole body.
            self._packed[entry] = self._take(entry, STORAGE[dtype], where).copy()
        array = self._packed[entry]
        start = self._cursors.get(entry, 0)
        if array.ndim != 1 or start + size > array.size:
            raise WireError(where, f"`{entry}` ends before these {size} elements")
        self._cursors[entry] = start + size
        return Exact(dtype=dtype, data=array[start : start + size])

    def full(self, index: int, dtype: str, shape: tuple[int, ...], where: str) -> Exact:
        """All elements of the tensor with this index, a read-only view of the body."""
        array = self._take(f"full.{index}", STORAGE[dtype], where)
        if array.shape != shape:
            raise WireError(where, f"expected shape {list(shape)}, got {list(array.shape)}")
        return Exact(dtype=dtype, data=array)

    def finish(self) -> None:
        """Refuses what no tensor carries; entries of kinds from later minors are ignored."""
        for entry, array in self._packed.items():
            if self._cursors[entry] != array.size:
                raise WireError(
                    entry, f"{array.size} elements, the tensors carry {self._cursors[entry]}"
                )
        for entry in self._arrays:
            if entry.partition(".")[0] in KINDS:
                raise WireError(f"safetensors entry {shown(entry)}", "no tensor carries it")

    def _unpack(self, sketch_count: int) -> Iterator[RawCounts]:
        if not sketch_count:
            return iter(())
        arrays = {entry: self._take(entry, dtype, "counts") for entry, dtype in DTYPES.items()}
        return unpack_counts(arrays, sketch_count=sketch_count)

    def _take(self, entry: str, dtype: np.dtype[Any], where: str) -> Array:
        array = self._arrays.pop(entry, None)
        if array is None:
            raise WireError(where, f"`{entry}` is missing")
        if array.dtype != dtype:
            raise WireError(entry, f"expected {dtype}, got {array.dtype}")
        return array
