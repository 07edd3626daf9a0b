"""The buffers of one snapshot: values leave the training thread's hands here.

Everything is allocated once and filled again for every snapshot: a fresh allocation costs six
times the copy into a buffer that is there. A stage is filled on the training thread and read
by the encoder; whoever has it owns it.

Tensors on a CUDA device are counted there (``bifurk.device_counts``); all other values are
queued as asynchronous copies to pinned memory, and ``wait`` tells when they have arrived.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from bifurk.device_counts import DeviceCounts
from bifurk.selection import Watched
from bifurk.sketch import sample_positions
from bifurk.wire import Placement
from bifurk.wire.shards import sampled_within

ALIGNMENT_BYTES: Final = 64
"""Of a tensor inside the pool of full values: a cache line, and a multiple of every dtype."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StagedTensor:
    """One tensor's values on the host; exactly one of ``values``, ``keys``, ``table``, ``full``.

    Attributes:
        values: all of a small tensor, flat, own dtype.
        keys: all of a large one, flat, rounded to its 16-bit format.
        table: counts by bit pattern, int [65536].
        sample: the elements at ``sample_positions``, own dtype; None where the rest holds them.
        full: all of a large one, flat, own dtype.
    """

    watched: Watched
    values: torch.Tensor | None = None
    keys: torch.Tensor | None = None
    table: torch.Tensor | None = None
    sample: torch.Tensor | None = None
    full: torch.Tensor | None = None


class Stage:
    """Buffers for every watched tensor, filled by ``read``.

    Args:
        tensors: what is watched.
        pool_bytes: room for full values.
        devices: those whose large tensors are counted where they lie.
    """

    def __init__(
        self,
        tensors: Sequence[Watched],
        *,
        pool_bytes: int,
        devices: Sequence[DeviceCounts] = (),
    ) -> None:
        self._tensors = tuple(tensors)
        self._devices = tuple(devices)
        self._tables = tuple(device.host_table() for device in self._devices)
        self._arrivals: list[torch.cuda.Event] = []
        self._pool_bytes = pool_bytes
        self._pool: torch.Tensor | None = None
        self._pinned = any(device.pinned for device in self._devices)
        self._buffers: dict[tuple[int, str], torch.Tensor] = {}
        self.staged: tuple[StagedTensor, ...] = ()

    @torch.no_grad()
    def read(self, parameters: Sequence[torch.Tensor], *, full: Sequence[int] = ()) -> None:
        """Copies the parameters' present values; no allocation after the first time.

        Args:
            parameters: one for each watched tensor, in their order: what lies here of it. Those
                that another process sends are passed over.
            full: indices of large tensors whose full values are due.
        """
        room = self._carve(full)
        for device in self._devices:
            device.clear()
        self.staged = tuple(
            self._read_one(index, parameter, room.get(index))
            for index, parameter in enumerate(parameters)
            if self._tensors[index].sent
        )
        arrivals = [
            device.send(table) for device, table in zip(self._devices, self._tables, strict=True)
        ]
        self._arrivals = [arrival for arrival in arrivals if arrival is not None]

    def wait(self) -> None:
        """Returns when every value has arrived on the host; for the background thread."""
        for arrival in self._arrivals:
            arrival.synchronize()

    def _read_one(
        self, index: int, parameter: torch.Tensor, room: torch.Tensor | None
    ) -> StagedTensor:
        watched = self._tensors[index]
        if room is not None:
            return StagedTensor(watched=watched, full=_copy(room, parameter))
        if watched.is_small:
            buffer = self._buffer(index, "values", parameter.dtype, parameter.numel())
            return StagedTensor(watched=watched, values=_copy(buffer, parameter))
        for device, table in zip(self._devices, self._tables, strict=True):
            row = device.count(index, parameter)
            if row is not None:
                sample = self._sample(index, parameter)
                return StagedTensor(watched=watched, table=table[row], sample=sample)
        own_format = parameter.dtype in (torch.bfloat16, torch.float16)
        key_dtype = parameter.dtype if own_format else torch.bfloat16
        keys = self._buffer(index, "keys", key_dtype, parameter.numel())
        return StagedTensor(
            watched=watched,
            keys=_copy(keys, parameter),
            sample=None if own_format else self._sample(index, parameter),
        )

    def _sample(self, index: int, parameter: torch.Tensor) -> torch.Tensor:
        shape, placement = self._tensors[index].shape, self._tensors[index].placement
        if parameter.is_contiguous():
            flat = parameter.detach().view(-1)
            positions = _positions(shape, placement, parameter.device)
        else:
            flat, positions = _strided(parameter.detach(), shape, placement)
        buffer = self._buffer(index, "sample", parameter.dtype, positions.numel())
        if parameter.device.type == "cpu":
            return torch.index_select(flat, 0, positions, out=buffer)
        return _copy(buffer, torch.index_select(flat, 0, positions))

    def _buffer(self, index: int, kind: str, dtype: torch.dtype, size: int) -> torch.Tensor:
        buffer = self._buffers.get((index, kind))
        if buffer is None:
            buffer = torch.empty(size, dtype=dtype, device="cpu", pin_memory=self._pinned)
            self._buffers[index, kind] = buffer
        return buffer

    def _carve(self, full: Sequence[int]) -> Mapping[int, torch.Tensor]:
        """A flat view into the pool for each tensor whose full values are due."""
        if not full:
            return {}
        if self._pool is None:
            self._pool = torch.empty(
                self._pool_bytes, dtype=torch.uint8, device="cpu", pin_memory=self._pinned
            )
        room, start = {}, 0
        for index in full:
            watched = self._tensors[index]
            if not watched.sent:
                continue
            end = start + size_bytes(watched)
            room[index] = self._pool[start:end].view(watched.torch_dtype)
            start += pool_bytes(watched)
        return room


def size_bytes(watched: Watched) -> int:
    """Of all values that lie here, in the tensor's own dtype."""
    return watched.held_size * watched.torch_dtype.itemsize


def pool_bytes(watched: Watched) -> int:
    """Room for the tensor in the pool of full values, padding included.

    In every process as for the largest shard of it: so all agree on whose turn it is.
    """
    largest = watched.largest_size * watched.torch_dtype.itemsize
    return -(-largest // ALIGNMENT_BYTES) * ALIGNMENT_BYTES


def positions_here(shape: tuple[int, ...], placement: Placement | None) -> NDArray[np.int64]:
    """Where the elements of a tensor's sample lie in what is held of it, flattened; int64."""
    if placement is None:
        return sample_positions(math.prod(shape))
    return sampled_within(shape, placement)[1]


def _copy(buffer: torch.Tensor, parameter: torch.Tensor) -> torch.Tensor:
    # Only CUDA's copies are waited for by an event; another device's must be over on return.
    buffer.view(parameter.shape).copy_(parameter, non_blocking=parameter.device.type == "cuda")
    return buffer


@lru_cache(maxsize=256)
def _positions(
    shape: tuple[int, ...], placement: Placement | None, device: torch.device
) -> torch.Tensor:
    return torch.from_numpy(positions_here(shape, placement).copy()).to(device)


def _strided(
    parameter: torch.Tensor, shape: tuple[int, ...], placement: Placement | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """A flat view of a tensor that is not contiguous, and where its sample lies in it."""
    extent = 1 + sum(
        (length - 1) * stride
        for length, stride in zip(parameter.shape, parameter.stride(), strict=True)
    )
    flat = parameter.as_strided((extent,), (1,))
    return flat, _offsets(shape, placement, parameter.stride(), parameter.device)


@lru_cache(maxsize=256)
def _offsets(
    shape: tuple[int, ...],
    placement: Placement | None,
    strides: tuple[int, ...],
    device: torch.device,
) -> torch.Tensor:
    """Kept, because bringing them to a device waits for it."""
    held = shape if placement is None else placement.local_shape
    indices = np.unravel_index(positions_here(shape, placement), held)
    offsets = sum(index * stride for index, stride in zip(indices, strides, strict=True))
    return torch.from_numpy(np.asarray(offsets, dtype=np.int64)).to(device)
