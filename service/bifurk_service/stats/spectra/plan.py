"""Which spectra are measured first, which with singular vectors, and for how long."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

_WORD: Final = (1 << 64) - 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpectraPlan:
    """How the time for the spectra of one snapshot is spent.

    Attributes:
        first: names to begin with, most urgent first; the rest follow in the model's order.
        with_vectors: whether singular vectors are due, see ``vectors_due``.
        first_vectors: by name float32 [p, r], the leading singular vectors of the attempt's first
            spectrum of that matrix.
        budget_seconds: no further spectrum is begun once this long has passed; at least one is
            always measured, so that every matrix has its turn.
        monotonic: the clock.
    """

    first: Sequence[str] = ()
    with_vectors: bool = False
    first_vectors: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    budget_seconds: float = float("inf")
    monotonic: Callable[[], float] = time.monotonic

    def ordered(self, names: Sequence[str]) -> list[str]:
        """These names in the order in which they are measured."""
        rank = {name: place for place, name in enumerate(self.first)}
        return sorted(names, key=lambda name: rank.get(name, len(rank)))


def vectors_due(sequence: int, every: int) -> bool:
    """Whether a snapshot is one of those at which singular vectors are looked at.

    The first is, then one in every ``every``, at a place drawn by a fixed hash: matrices that
    travel in turns would otherwise miss it for ever where their turns keep the same step. By the
    sequence alone, so that it does not depend on what was measured before.
    """
    window, place = divmod(sequence, every)
    return place == (0 if window == 0 else _hash(window) % every)


def _hash(number: int) -> int:
    """Steele, Lea and Flood (2014), Fast splittable pseudorandom number generators: 64 bits."""
    mixed = (number + 1) * 0x9E3779B97F4A7C15 & _WORD
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & _WORD
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & _WORD
    return mixed ^ mixed >> 31
