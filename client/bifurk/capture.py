"""Reads a model's weights at one step into buffers that are kept, on the training thread."""

from __future__ import annotations

import logging
import weakref
from collections import deque
from collections.abc import Collection, Sequence
from typing import Final

import torch
from torch.optim import Optimizer

from bifurk.cadence import FullRotation
from bifurk.config import WatchConfig
from bifurk.device_counts import DeviceCounts, cuda_devices
from bifurk.held import held_in
from bifurk.masters import masters_of
from bifurk.optimizers import only_of_others
from bifurk.selection import Selection, Watched, select, signature
from bifurk.sharing import Sender
from bifurk.staging import Stage, StagedTensor, pool_bytes

MIN_STAGES: Final = 2
"""One is encoded while the next is filled."""
MAX_STAGES: Final = 8
STAGING_BYTES: Final = 64 << 20
"""Small models get more than two stages, up to this much memory: a server that measures on the
same cores then costs no snapshot."""

_log = logging.getLogger("bifurk")


class Capture:
    """Takes snapshots of one model's weights; never keeps the model alive.

    Args:
        model: whose parameters are read. config: which of them, and how much of each.
        optimizers: held weakly. While the first one steps, what others train may be frozen for a
            moment, as adversaries are; it is read all the same.
        sender: this process among several that each send their part; None for one alone.

    Raises:
        ValueError: the model has no parameter that can be watched, or one that the user's packing
            does not fit.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        *,
        config: WatchConfig,
        optimizers: Sequence[Optimizer] = (),
        sender: Sender | None = None,
    ) -> None:
        self._sender = sender
        self._model = weakref.ref(model)
        self._optimizers = tuple(weakref.ref(optimizer) for optimizer in optimizers)
        self._config = config
        self._warned: str | None = None
        self._masters = masters_of(held_in(model), optimizers)
        trained = self._trained()
        self._signature = signature(model, trained)
        selection = self._select(model, trained)
        if selection.misfits:
            raise ValueError(selection.misfits[0])
        self._plan = self._new_plan(selection)
        if not self._plan.tensors:
            raise ValueError(
                f"the model has no parameter to watch ({self._warned or 'none at all'})"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Of the watched tensors, in the order of the model."""
        return tuple(tensor.name for tensor in self._plan.tensors)

    def take(self, *, full: bool, wanted: Collection[str] = ()) -> Snapshot | None:
        """Copies the weights as they are now; None when every buffer is still being encoded.

        Args:
            full: whether the next turn of full values travels with this snapshot.
            wanted: names of the tensors that travel in full before all others; none of shards.

        Raises:
            ReferenceError: the parameters are gone.
        """
        model = self._model()
        # A wrapper may be gone (``watch(torch.compile(model), ...)``) while its weights train on.
        if model is not None:
            self._follow(model)
        # Processes that each send their shards hear of it at different steps.
        return self._plan.take(full=full, wanted=wanted if self._sender is None else ())

    def free(self) -> None:
        """Lets go of the buffers; no snapshot is taken afterwards."""
        self._plan.free()

    def _follow(self, model: torch.nn.Module) -> None:
        trained = self._trained()
        present = signature(model, trained)
        # The signature alone is not enough: what replaces a parameter can take over its id.
        if present != self._signature or self._plan.misses_parameters():
            self._plan = self._new_plan(self._select(model, trained))
            self._signature = present

    def _trained(self) -> frozenset[int]:
        alive = [one for reference in self._optimizers if (one := reference()) is not None]
        return only_of_others(alive)

    def _select(self, model: torch.nn.Module, trained: frozenset[int]) -> Selection:
        config = self._config
        return select(
            model,
            include=config.include,
            exclude=config.exclude,
            roles=config.roles,
            packings=config.packing,
            trained=trained,
            sender=self._sender,
            masters=self._masters,
        )

    def _new_plan(self, selection: Selection) -> _Plan:
        self._warn(selection)
        return _Plan(selection.tensors, full_bytes=_full_bytes(self._config))

    def _warn(self, selection: Selection) -> None:
        warning = selection.warning()
        if warning is not None and warning != self._warned:
            _log.warning(warning)
        self._warned = warning


class Snapshot:
    """One step's values, in buffers that ``release`` gives back.

    Args:
        stage: filled. free: where it goes afterwards.
    """

    def __init__(self, stage: Stage, free: deque[Stage]) -> None:
        self._stage: Stage | None = stage
        self._free = free

    def tensors(self) -> tuple[StagedTensor, ...]:
        """The values, once they have all arrived on the host; for the background thread."""
        assert self._stage is not None, "a released snapshot has no values"
        self._stage.wait()
        return self._stage.staged

    def release(self) -> None:
        """Gives the buffers back; once is enough, more does no harm."""
        if self._stage is not None:
            self._free.append(self._stage)
            self._stage = None


class _Plan:
    """The buffers for one selection: a ring of stages, and whose turn it is to travel in full."""

    def __init__(self, tensors: tuple[Watched, ...], *, full_bytes: int | None) -> None:
        self.tensors = tensors
        self._turns = _turns(tensors)
        sizes = [sum(pool_bytes(tensors[index]) for index in turn) for turn in self._turns]
        # Turns are those of all processes; room is needed for what this one sends.
        self._rotation = FullRotation(sizes, full_bytes=full_bytes)
        own = [tensors[index] for turn in self._turns for index in turn if tensors[index].sent]
        self._pool_bytes = min(self._rotation.largest_turn_bytes, sum(map(pool_bytes, own)))
        self._devices = tuple(
            DeviceCounts(tensors, device=device) for device in cuda_devices(tensors)
        )
        self._free: deque[Stage] = deque()
        self._made = 0

    def take(self, *, full: bool, wanted: Collection[str]) -> Snapshot | None:
        stage = self._stage()
        if stage is None:
            return None
        snapshot = Snapshot(stage, self._free)
        try:
            stage.read(self._parameters(), full=self._due_in_full(wanted, rotate=full))
        except BaseException:
            snapshot.release()
            raise
        return snapshot

    def free(self) -> None:
        self._free.clear()

    def misses_parameters(self) -> bool:
        return any(tensor.parameter() is None for tensor in self.tensors)

    def _due_in_full(self, wanted: Collection[str], *, rotate: bool) -> list[int]:
        asked = {
            place
            for place, turn in enumerate(self._turns)
            if wanted and any(self.tensors[index].name in wanted for index in turn)
        }
        taken = self._rotation.take(wanted=asked, rotate=rotate)
        return sorted(index for place in taken for index in self._turns[place])

    def _parameters(self) -> list[torch.Tensor]:
        parameters = [tensor.parameter() for tensor in self.tensors]
        alive = [parameter for parameter in parameters if parameter is not None]
        if len(alive) < len(parameters):
            raise ReferenceError("watched parameters no longer exist")
        return [
            tensor.held(parameter) for tensor, parameter in zip(self.tensors, alive, strict=True)
        ]

    def _stage(self) -> Stage | None:
        try:
            return self._free.popleft()
        except IndexError:
            pass
        if self._made >= self._most_stages():
            return None
        stage = Stage(self.tensors, pool_bytes=self._pool_bytes, devices=self._devices)
        self._made += 1
        return stage

    def _most_stages(self) -> int:
        keys_bytes = sum(2 * tensor.held_size for tensor in self.tensors if tensor.sent)
        table_bytes = sum(device.table_bytes for device in self._devices)
        stage_bytes = keys_bytes + table_bytes + self._pool_bytes
        return max(MIN_STAGES, min(MAX_STAGES, STAGING_BYTES // max(1, stage_bytes)))


def _turns(tensors: Sequence[Watched]) -> tuple[tuple[int, ...], ...]:
    """Indices of the large matrices that travel in full together: each alone, but for factors.

    One factor without the other tells nothing of their product.
    """
    large = [
        index
        for index, tensor in enumerate(tensors)
        if not tensor.is_small and len(tensor.shape) >= 2
    ]
    places = {tensors[index].name: index for index in large}
    rights = {
        index: places[product.right]
        for index in large
        if (product := tensors[index].product) is not None and product.right in places
    }
    paired = frozenset(rights.values())
    return tuple(
        (rights[index], index) if index in rights else (index,)
        for index in large
        if index not in paired
    )


def _full_bytes(config: WatchConfig) -> int | None:
    """The most bytes of full values in one snapshot; None for no limit."""
    if config.payload == "full":
        return None
    if config.payload == "sketch" or config.mode == "offline":
        return 0
    return config.full_bytes
