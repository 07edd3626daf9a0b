"""Counting on an accelerator: nothing model-sized is staged there, and nothing waits for it.

Tensor by tensor into one persistent table, then one asynchronous copy of the table to pinned
memory. ``tests/client/test_cuda.py`` holds it to that on a real GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch

from bifurk import sketch_torch
from bifurk.selection import Watched
from bifurk.sketch import KEYS

MAX_ELEMENTS: Final = (1 << 31) - 1
"""A larger tensor could overflow an int32 count; it is counted on the host instead."""


class DeviceCounts:
    """The counts of one device's large tensors, kept on that device.

    Args:
        tensors: all that is watched; those that are large, on ``device`` and sent by this process
            are counted here.
    """

    def __init__(self, tensors: Sequence[Watched], *, device: torch.device) -> None:
        large = [
            index
            for index, tensor in enumerate(tensors)
            if _counted(tensor) and tensor.device == device
        ]
        self._rows = {index: row for row, index in enumerate(large)}
        self._counter = sketch_torch.Counter(device, counts_dtype=torch.int32)
        self._table = torch.zeros((len(large), KEYS), dtype=torch.int32, device=device)

    @property
    def table_bytes(self) -> int:
        """Of the whole table, on the device as on the host."""
        return self._table.nbytes

    @property
    def pinned(self) -> bool:
        """Whether buffers on the host should be page-locked."""
        return self._table.device.type == "cuda"

    def clear(self) -> None:
        """Sets all counts to 0."""
        self._table.zero_()

    def count(self, index: int, parameter: torch.Tensor) -> int | None:
        """Counts a tensor that belongs here; returns its row in the table, else None."""
        row = self._rows.get(index)
        if row is not None:
            self._counter.count_into(self._table[row], parameter.detach().contiguous())
        return row

    def host_table(self) -> torch.Tensor:
        """A buffer on the host for the whole table, int32 [rows, 65536]."""
        return torch.empty(
            self._table.shape, dtype=torch.int32, device="cpu", pin_memory=self.pinned
        )

    def send(self, host_table: torch.Tensor) -> torch.cuda.Event | None:
        """Queues the copy of all counts; returns an event behind it and all queued before.

        None where copies are over on return.
        """
        host_table.copy_(self._table, non_blocking=self.pinned)
        if not self.pinned:
            return None
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self._table.device))
        return event


def _counted(tensor: Watched) -> bool:
    return tensor.sent and not tensor.is_small and tensor.held_size <= MAX_ELEMENTS


def cuda_devices(tensors: Sequence[Watched]) -> tuple[torch.device, ...]:
    """The CUDA devices that watched tensors lie on, each once."""
    devices = {tensor.device: None for tensor in tensors if tensor.device.type == "cuda"}
    return tuple(devices)
