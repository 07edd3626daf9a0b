"""The packing of one matrix: which rows or columns belong to which projection."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

MOST_PIECES: Final = 8
"""Two more than the widest fused layers known: queries, keys, values, gate, up and an output."""
MOST_CHARACTERS: Final = 512
"""Of the text form: more than ``MOST_PIECES`` of the longest roles and sizes take."""

_ROLE: Final = re.compile(r"[a-z][a-z0-9_.]{0,31}")
_SHOWN_CHARACTERS: Final = 80

T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True, slots=True)
class Packing:
    """Along one axis: ``groups`` equal blocks, each of the same consecutive pieces.

    >>> str(Packing(axis=1, groups=1, pieces=(("attention.key", 64), ("attention.value", 64))))
    'attention.key=64,attention.value=64@axis1'

    Attributes:
        axis: 0 where the pieces are rows, 1 where they are columns.
        groups: number of blocks; 1 where each projection is in one piece.
        pieces: role, and rows or columns a block, in their order; each role once. Without any
            the matrix is one projection (``WHOLE``).

    Raises:
        ValueError: axis, groups, roles or sizes are out of range.
    """

    axis: int
    groups: int
    pieces: tuple[tuple[str, int], ...]

    def __post_init__(self) -> None:
        if not _is_whole(self.axis, least=0) or self.axis > 1:
            raise ValueError(f"axis must be 0 or 1, got {self.axis!r}")
        if not _is_whole(self.groups, least=1):
            raise ValueError(f"groups must be a whole number of at least 1, got {self.groups!r}")
        if not self.pieces:
            if (self.axis, self.groups) != (0, 1):
                raise ValueError("a packing without pieces has axis 0 and one group")
            return
        if not 2 <= len(self.pieces) <= MOST_PIECES:
            raise ValueError(f"expected 2 to {MOST_PIECES} pieces, got {len(self.pieces)}")
        for role, size in self.pieces:
            _check_piece(role, size)
        if len(set(self.roles)) != len(self.pieces):
            raise ValueError(f"expected each role once, got {', '.join(self.roles)}")

    def __str__(self) -> str:
        if not self.pieces:
            return "none"
        pieces = ",".join(f"{role}={size}" for role, size in self.pieces)
        block = pieces if self.groups == 1 else f"{self.groups}*({pieces})"
        return f"{block}@axis{self.axis}"

    @property
    def roles(self) -> tuple[str, ...]:
        """Of the pieces, in their order."""
        return tuple(role for role, _ in self.pieces)

    @property
    def length(self) -> int:
        """Rows or columns that all groups take together; 0 without pieces."""
        return self.groups * sum(size for _, size in self.pieces)

    def check_shape(self, shape: tuple[int, ...]) -> None:
        """Refuses a shape that this is no packing of.

        Raises:
            ValueError: it is no matrix, or its axis has another length.
        """
        if not self.pieces:
            return
        if len(shape) != 2:
            raise ValueError(f"a packing is of a matrix, got shape {short(list(shape))}")
        if shape[self.axis] != self.length:
            raise ValueError(
                f"expected pieces of {shape[self.axis]} in all along axis {self.axis} of"
                f" {short(list(shape))}, got {self.length}"
            )

    def shape_of(self, role: str, shape: tuple[int, ...]) -> tuple[int, int]:
        """Shape of one role's matrix, when the packed one has this shape.

        Raises:
            ValueError: it is not packed here, or the shape does not fit.
        """
        self.check_shape(shape)
        sizes = dict(self.pieces)
        if role not in sizes:
            raise ValueError(f"role must be one of {', '.join(self.roles)}, got {role!r}")
        along = self.groups * sizes[role]
        return (along, shape[1]) if self.axis == 0 else (shape[0], along)

    def split(self, matrix: NDArray[T]) -> list[tuple[str, NDArray[T]]]:
        """Role and matrix of each piece, in their order; nothing where there are no pieces.

        Views of the matrix where each piece is in one block; else its groups are copied
        together, in their order.

        Args:
            matrix: [rows, columns] of any dtype.

        Raises:
            ValueError: the shape does not fit.
        """
        self.check_shape(matrix.shape)
        return [(role, self._gather(matrix, span)) for role, span in self._spans()]

    def _spans(self) -> Iterator[tuple[str, slice]]:
        begin = 0
        for role, size in self.pieces:
            yield role, slice(begin, begin + size)
            begin += size

    def _gather(self, matrix: NDArray[T], span: slice) -> NDArray[T]:
        rows, columns = matrix.shape
        along = self.groups * (span.stop - span.start)
        if self.axis == 0:
            if self.groups == 1:
                return matrix[span]
            return matrix.reshape(self.groups, -1, columns)[:, span].reshape(along, columns)
        if self.groups == 1:
            return matrix[:, span]
        return matrix.reshape(rows, self.groups, -1)[:, :, span].reshape(rows, along)


def short(value: Any) -> str:
    """A received value as errors show it."""
    text = str(value) if isinstance(value, list) else repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}..."


def _check_piece(role: object, size: object) -> None:
    if not isinstance(role, str) or _ROLE.fullmatch(role) is None:
        raise ValueError(f"expected a role such as attention.query, got {short(role)}")
    if not _is_whole(size, least=1):
        raise ValueError(f"the size of {role} must be at least 1, got {short(size)}")


def _is_whole(value: object, *, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


WHOLE: Final = Packing(axis=0, groups=1, pieces=())
"""Said of a matrix that is not to be taken apart; other than None, which says nothing."""
