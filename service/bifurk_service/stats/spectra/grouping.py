"""Matrices gathered into tasks of about the same length."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

SECONDS_EACH: Final = 4e-4
SECONDS_PER_OPERATION: Final = 2.5e-11
"""Processor time of one core, measured from 16 x 16 to 2,048 x 2,048: within a fifth from 512 rows
on, up to four times too little around 128; how tasks are cut depends on it, and no result."""


def spectrum_seconds(shape: tuple[int, ...]) -> float:
    """About how long the spectrum of a tensor takes: its Gram matrix, and the eigenvalues of that.

    Args:
        shape: of at least two dimensions; read as out x rest.
    """
    short, long = sorted((shape[0], math.prod(shape[1:])))
    return SECONDS_EACH + SECONDS_PER_OPERATION * short**2 * (long + 8 * short)


def grouped(
    names: Iterable[str], seconds: Mapping[str, float], *, most_seconds: float
) -> list[tuple[str, ...]]:
    """Names in their order, in groups that end as soon as they are long enough.

    Args:
        names: in the order in which they are to be measured.
        seconds: what each is expected to take; names that are not in here are left out.
        most_seconds: a group that takes this long gets no further name.

    >>> grouped("abcd", {"a": 1.0, "b": 9.0, "d": 1.0}, most_seconds=2.0)
    [('a', 'b'), ('d',)]
    """
    groups: list[tuple[str, ...]] = []
    group: list[str] = []
    together = 0.0
    for name in names:
        if name not in seconds:
            continue
        group.append(name)
        together += seconds[name]
        if together >= most_seconds:
            groups.append(tuple(group))
            group, together = [], 0.0
    return [*groups, tuple(group)] if group else groups
