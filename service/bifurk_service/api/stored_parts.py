"""What the stored parts of a snapshot carry of its tensors, and the distributions behind it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Final, TypeAlias

from bifurk.wire import TensorPart, WireError, WireLimits, decode
from bifurk_service.errors import NotFoundError, StorageError
from bifurk_service.services import Services
from bifurk_service.stats.distributions.distribution import Distribution
from bifurk_service.stats.pooling import distribution_of
from bifurk_service.stats.shards import distinct
from bifurk_service.store.engine import Session
from bifurk_service.store.models import Snapshot, StoredPart, Tensor
from bifurk_service.store.queries import get_tensor, not_carried
from bifurk_service.store.snapshots import parts_of

READINGS: Final = 2
"""Once a snapshot is measured its parts move to smaller blobs; whoever meets that looks again."""

STORED_BYTES: Final = 1 << 31
STORED_TENSORS: Final = 10**9
"""What is stored was within the limits once; lowering them since must not hide it."""


def stored_tensor(session: Session, run_id: int, tensor_id: int) -> Tensor:
    """A tensor of a run whose values are stored.

    Raises:
        NotFoundError: the run has none of this id, or it is a piece of a fused tensor.
    """
    tensor = get_tensor(session, run_id, tensor_id)
    if tensor.piece_of is not None:
        raise NotFoundError(
            f"{tensor.name} is a piece of a fused tensor, and values are stored of the whole: "
            f"ask for tensor {tensor.piece_of}"
        )
    return tensor


def stored_distribution(house: Services, snapshot: Snapshot, tensor: Tensor) -> Distribution:
    """How the values of one tensor were distributed at a snapshot, over the shards that came.

    Raises:
        NotFoundError: the snapshot does not carry it, or its parts are no longer kept.
        StorageError: a part cannot be read, or is damaged.
    """
    pieces = carried(house, snapshot, {tensor.name}).get(tensor.name)
    if not pieces:
        with house.database.read() as session:
            raise not_carried(session, tensor, snapshot.step)
    return distribution_of(pieces)


def carried(
    house: Services, snapshot: Snapshot, names: Collection[str]
) -> dict[str, list[TensorPart]]:
    """These tensors, by name, as each part of a snapshot carries them; some may be missing.

    Of replicas the first.

    Raises:
        NotFoundError: a part is no longer kept.
        StorageError: a part cannot be read, or is damaged.
    """
    return _read(house, snapshot, names, _kept)


def carried_in_full(
    house: Services, snapshot: Snapshot, names: Collection[str]
) -> dict[str, list[TensorPart]]:
    """As ``carried``, with full values where they came and are still there.

    Raises:
        NotFoundError: a part is no longer kept.
        StorageError: a part cannot be read, or is damaged.
    """
    return _read(house, snapshot, names, _fullest)


Blob: TypeAlias = tuple[str, str]
"""Key and encoding."""


def _kept(part: StoredPart) -> Blob:
    return part.blob_key, part.encoding


def _fullest(part: StoredPart) -> Blob:
    if part.stale_key is None or part.stale_encoding is None:
        return _kept(part)
    return part.stale_key, part.stale_encoding


def _read(
    house: Services,
    snapshot: Snapshot,
    names: Collection[str],
    blob_of: Callable[[StoredPart], Blob],
) -> dict[str, list[TensorPart]]:
    if snapshot.thinned:
        raise NotFoundError(f"step {snapshot.step} is thinned: its parts are no longer kept")
    for _ in range(READINGS):
        with house.database.read() as session:
            blobs = [blob_of(part) for part in parts_of(session, snapshot.id)]
        with suppress(FileNotFoundError):
            return _by_name(house, blobs, names)
    raise NotFoundError(f"a part of step {snapshot.step} is no longer kept")


def _by_name(
    house: Services, blobs: list[Blob], names: Collection[str]
) -> dict[str, list[TensorPart]]:
    found: dict[str, list[TensorPart]] = {}
    for key, encoding in blobs:
        for piece in _decoded(house, key, encoding):
            if piece.name in names:
                found.setdefault(piece.name, []).append(piece)
    return {name: distinct(pieces) for name, pieces in found.items()}


def _decoded(house: Services, key: str, encoding: str) -> tuple[TensorPart, ...]:
    limits = WireLimits(
        decoded_bytes=max(house.settings.max_decoded_bytes, STORED_BYTES), tensors=STORED_TENSORS
    )
    try:
        return decode(house.blobs.get(key), encoding=encoding, limits=limits).tensors
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StorageError(
            f"the stored part {key} cannot be read: {error.strerror or error}"
        ) from error
    except WireError as error:
        raise StorageError(f"the stored part {key} is damaged: {error}") from error
