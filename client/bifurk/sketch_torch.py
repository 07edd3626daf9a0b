"""The counts of ``bifurk.sketch`` computed by torch, chunk by chunk into a persistent table.

Nothing here allocates per tensor and no operation's output size depends on data, so the same
code runs on an accelerator without synchronising. On the CPU every operation stays within the
size torch runs in the calling thread: a background thread that woke OpenMP's pool would fight
with the training's for the cores.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch

from bifurk.sketch import KEYS, KeyFormat, Sketch, from_table

CPU_CHUNK_ELEMENTS: Final = 1 << 15
"""torch splits larger elementwise work over its thread pool (at::internal::GRAIN_SIZE)."""
DEVICE_CHUNK_ELEMENTS: Final = 1 << 22
"""Scratch of 32 MiB of indices on an accelerator, whatever the size of the model."""
INT32_ELEMENTS: Final = (1 << 31) - 1
"""More equal values than this overflow an int32 count."""


class Counter:
    """Counts 16-bit patterns of tensors on one device, with scratch space it keeps.

    Args:
        device: where the tensors to count lie.
        counts_dtype: of the tables it counts into. With int32 all that a chunk touches (indices,
            ones, the table) fits in a megabyte of second-level cache; with int64 it does not.
    """

    def __init__(
        self,
        device: torch.device | str = "cpu",
        *,
        counts_dtype: torch.dtype = torch.int32,
    ) -> None:
        self.counts_dtype = counts_dtype
        on_cpu = torch.device(device).type == "cpu"
        self._chunk = CPU_CHUNK_ELEMENTS if on_cpu else DEVICE_CHUNK_ELEMENTS
        self._index = torch.empty(self._chunk, dtype=torch.int64, device=device)
        self._ones = torch.ones(self._chunk, dtype=counts_dtype, device=device)
        self._rounded = torch.empty(self._chunk, dtype=torch.bfloat16, device=device)

    @torch.no_grad()
    def count_into(self, table: torch.Tensor, values: torch.Tensor) -> None:
        """Adds how often each bit pattern occurs to ``table``, [65536], indexed by pattern.

        float16 counts its own patterns; every other floating dtype those of the nearest
        bfloat16.

        Args:
            table: on the same device. values: contiguous, any shape.
        """
        flat = values.detach().view(-1)
        whole = self._buffers(self._chunk)
        for piece in torch.split(flat, self._chunk):
            size = piece.numel()
            rounded, patterns, index, ones = whole if size == self._chunk else self._buffers(size)
            if piece.dtype in (torch.bfloat16, torch.float16):
                patterns = piece.view(torch.uint16)
            else:
                rounded.copy_(piece)
            index.copy_(patterns)
            table.scatter_add_(0, index, ones)

    def _buffers(self, size: int) -> tuple[torch.Tensor, ...]:
        """For a chunk of this size: rounded values, the same as patterns, indices, ones."""
        rounded = self._rounded[:size]
        return rounded, rounded.view(torch.uint16), self._index[:size], self._ones[:size]


def sketch(values: torch.Tensor, *, counter: Counter | None = None) -> Sketch:
    """Counts the values of one contiguous floating tensor, any shape; equals ``bifurk.sketch``.

    Args:
        counter: of the tensor's device, to reuse its scratch space.
    """
    counter = counter or Counter(values.device)
    form: KeyFormat = "f16" if values.dtype == torch.float16 else "bf16"
    total = np.zeros(KEYS, dtype=np.int64)
    flat = values.detach().view(-1)
    for start in range(0, flat.numel(), INT32_ELEMENTS):
        # numpy's zeros, because torch would fill a table of this size with its thread pool.
        zeros = torch.from_numpy(np.zeros(KEYS, dtype=np.int32))
        table = zeros.to(device=values.device, dtype=counter.counts_dtype)
        counter.count_into(table, flat[start : start + INT32_ELEMENTS])
        total += table.cpu().numpy()
    return from_table(total, form)


def sketch_table(table: torch.Tensor, format: KeyFormat) -> Sketch:
    """The sketch of a finished table, whole numbers [65536] on the CPU."""
    return from_table(table.numpy().astype(np.int64, copy=False), format)
