"""Points from TensorBoard's event files: scalars and histograms.

A histogram as ``add_histogram`` of torch and tensorboardX writes it carries the exact number, sum,
sum of squares and extremes of the values beside its buckets; those give mean, standard deviation
and norms without the buckets' rounding. TensorFlow 2 writes buckets alone: of those only the
number of values and the ends of the outer buckets are taken, since a standard deviation of
buckets moves with the bucketing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bifurk_service.errors import InvalidError, SetupError
from bifurk_service.importing.points import WHOLE_MODEL, Point

EVENT_FILES: Final = "*tfevents*"


def read_event_files(folder: Path) -> Iterator[Point]:
    """The points of all event files in a folder and below, file by file in order of their names.

    Scalars are statistics of the whole model, named by their tag; a histogram's tag names a tensor.

    Raises:
        InvalidError: there is no event file, or one cannot be read.
        SetupError: TensorBoard is not installed.
    """
    files = sorted(path for path in folder.rglob(EVENT_FILES) if path.is_file())
    if not files:
        raise InvalidError(f"no event file (*tfevents*) in {folder} or below")
    for path in files:
        yield from _points(path)


def _points(path: Path) -> Iterator[Point]:
    try:
        from tensorboard.backend.event_processing.event_file_loader import (  # noqa: PLC0415 - an extra
            LegacyEventFileLoader,
        )
        from tensorboard.util.tensor_util import make_ndarray  # noqa: PLC0415 - likewise
    except ImportError as error:
        raise SetupError(
            f"reading event files needs TensorBoard: pip install 'bifurk[tensorboard]' ({error})"
        ) from None
    try:
        for event in LegacyEventFileLoader(str(path)).Load():
            for value in event.summary.value:
                yield from _of_value(event.step, value, make_ndarray)
    except InvalidError:
        raise
    except Exception as error:  # the reader raises whatever its parts raise
        raise InvalidError(f"{path} is no readable event file: {error}") from error


def _of_value(step: int, value: Any, make_ndarray: Any) -> Iterator[Point]:
    if value.HasField("simple_value"):
        yield Point(step, WHOLE_MODEL, value.tag, _finite(value.simple_value))
    elif value.HasField("histo"):
        yield from _of_sums(step, value.tag, value.histo)
    elif value.HasField("tensor"):
        array = make_ndarray(value.tensor)
        if array.dtype.kind not in "fiu":
            return
        if array.ndim == 0:
            yield Point(step, WHOLE_MODEL, value.tag, _finite(float(array)))
        elif array.ndim == 2 and array.shape[1] == 3:
            yield from _of_buckets(step, value.tag, array.astype(np.float64))


def _of_sums(step: int, tag: str, histogram: Any) -> Iterator[Point]:
    count = histogram.num
    if count <= 0:
        return
    mean, square = histogram.sum / count, histogram.sum_squares / count
    for statistic, value in (
        ("count", count),
        ("min", histogram.min),
        ("max", histogram.max),
        ("mean", mean),
        ("rms", math.sqrt(max(square, 0.0))),
        ("l2_norm", math.sqrt(max(histogram.sum_squares, 0.0))),
        ("std", _std(mean, square)),
    ):
        yield Point(step, tag, statistic, _finite(value))


def _std(mean: float, square: float) -> float:
    """From the mean of the squares: worthless, and NaN, where it is all rounding."""
    variance = square - mean * mean
    return math.sqrt(variance) if variance > 1e-10 * square else math.nan


def _of_buckets(step: int, tag: str, buckets: NDArray[np.float64]) -> Iterator[Point]:
    filled = buckets[buckets[:, 2] > 0]
    if not len(filled):
        return
    for statistic, value in (
        ("count", filled[:, 2].sum()),
        ("min", filled[0, 0]),
        ("max", filled[-1, 1]),
    ):
        yield Point(step, tag, statistic, _finite(float(value)))


def _finite(value: float) -> float:
    return float(value) if math.isfinite(value) else math.nan
