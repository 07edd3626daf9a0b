"""Exact values of a tensor in its own dtype, without torch.

numpy has no bfloat16, so its values are held as their 16-bit patterns and
widened on demand. Widening to float64 is exact for every dtype here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

DType: TypeAlias = Literal["bfloat16", "float16", "float32", "float64"]

STORAGE: Final[dict[str, np.dtype[np.generic]]] = {
    "bfloat16": np.dtype("<u2"),
    "float16": np.dtype("<f2"),
    "float32": np.dtype("<f4"),
    "float64": np.dtype("<f8"),
}
"""How each dtype lies in memory and on the wire: little-endian; bfloat16 as bit patterns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exact:
    """Values of one tensor (or of some of its elements), bit for bit.

    Attributes:
        dtype: the tensor's own dtype, named as torch names it.
        data: the values, any shape, with the storage dtype of ``STORAGE[dtype]``.
    """

    dtype: str
    data: NDArray[np.generic]

    def __post_init__(self) -> None:
        if self.dtype not in STORAGE:
            raise ValueError(f"dtype must be one of {sorted(STORAGE)}, got {self.dtype!r}")
        if self.data.dtype != STORAGE[self.dtype]:
            raise ValueError(
                f"{self.dtype} values are stored as {STORAGE[self.dtype]}, got {self.data.dtype}"
            )

    def float64(self) -> NDArray[np.float64]:
        """The same values as float64, same shape; no value changes."""
        with np.errstate(invalid="ignore"):  # a signalling NaN is still only a NaN
            return self.float32_or_wider().astype(np.float64, copy=False)

    def float32_or_wider(self) -> NDArray[np.floating]:
        """The values as float32, or float64 where the dtype is float64; no value changes."""
        if self.dtype == "bfloat16":
            return (self.data.astype(np.uint32) << np.uint32(16)).view(np.float32)
        if self.dtype == "float16":
            with np.errstate(invalid="ignore"):
                return self.data.astype(np.float32)
        return self.data  # type: ignore[return-value]
