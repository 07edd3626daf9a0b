"""A checkpoint as the part of a snapshot: what the hook would have sent at that step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

import bifurk
from bifurk.cadence import FullRotation
from bifurk.exact import Exact
from bifurk.layout import layout_of
from bifurk.sketch import SMALL_TENSOR_ELEMENTS, Sketch, sample_positions, sketch, sketch_bits
from bifurk.wire import Manifest, Part, ScalarSummary, TensorPart
from bifurk_service.checkpoints.finding import Checkpoint


class Snapshots:
    """Turns checkpoints into parts, one after the other, in ascending steps.

    Args:
        project, run, attempt: whose. full_bytes: most bytes of full values in one part.
    """

    def __init__(self, *, project: str, run: str, attempt: str, full_bytes: int) -> None:
        self._blank = Manifest(project=project, run=run, attempt=attempt, step=0, sequence=0)
        self._full_bytes = full_bytes
        self._last: Manifest | None = None
        self._matrices: tuple[str, ...] = ()
        self._rotation = FullRotation((), full_bytes=full_bytes)

    def part(self, checkpoint: Checkpoint, tensors: Mapping[str, Exact]) -> Part:
        """The part of the next checkpoint."""
        full = self._due_in_full(tensors)
        self._last = self._manifest(checkpoint)
        return Part(
            manifest=self._last,
            tensors=tuple(
                _tensor(name, values, full=name in full) for name, values in tensors.items()
            ),
        )

    def _due_in_full(self, tensors: Mapping[str, Exact]) -> set[str]:
        matrices = tuple(
            name
            for name, values in tensors.items()
            if values.data.ndim >= 2 and values.data.size > SMALL_TENSOR_ELEMENTS
        )
        if matrices != self._matrices:
            sizes = [tensors[name].data.nbytes for name in matrices]
            self._rotation = FullRotation(sizes, full_bytes=self._full_bytes)
            self._matrices = matrices
        return {matrices[turn] for turn in self._rotation.take()}

    def _manifest(self, checkpoint: Checkpoint) -> Manifest:
        last, rate, loss = self._last, checkpoint.learning_rate, checkpoint.loss
        summary = (
            None
            if loss is None
            else ScalarSummary(last=loss, mean=loss, min=loss, max=loss, count=1)
        )
        return replace(
            self._blank,
            step=checkpoint.step,
            sequence=0 if last is None else last.sequence + 1,
            previous_step=None if last is None else last.step,
            wall_clock_seconds=max(path.stat().st_mtime for path in checkpoint.files),
            learning_rates=() if rate is None else (rate,),
            scalars={} if summary is None else {"loss": summary},
            client={"bifurk": bifurk.__version__},
        )


def _tensor(name: str, values: Exact, *, full: bool) -> TensorPart:
    shape = tuple(values.data.shape)
    layout = layout_of(name, shape)
    described = TensorPart(
        name=name, shape=shape, dtype=values.dtype, layer=layout.layer, role=layout.role
    )
    flat = values.data.reshape(-1)
    if flat.size <= SMALL_TENSOR_ELEMENTS:
        return replace(described, values=Exact(dtype=values.dtype, data=flat))
    sample = np.take(flat, sample_positions(flat.size))
    return replace(
        described,
        counts=_counts(values),
        sample=Exact(dtype=values.dtype, data=sample),
        full=values if full else None,
    )


def _counts(values: Exact) -> Sketch:
    if values.dtype == "bfloat16":
        return sketch_bits(values.data.view(np.uint16), "bf16")
    return sketch(values.float32_or_wider() if values.dtype != "float16" else values.data)  # type: ignore[arg-type]
