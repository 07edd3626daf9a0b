"""A judge's state for the same tensors under the ids of another database."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from bifurk_service.detect.state_archive import (
    MEMORY,
    archive_of,
    arrays_of,
    document_of,
    text_array,
    understood,
)
from bifurk_service.detect.state_pieces import IDS, TENSORS, packed, unpacked


def with_tensor_ids(state: bytes, ids: Mapping[int, int]) -> bytes:
    """What ``Judge.snapshot`` gave, for the same tensors under other ids.

    Raises:
        ForeignStateError: the bytes are no such state, or name a tensor that has no new id.
    """
    arrays = arrays_of(state)
    memory = document_of(arrays.get(MEMORY))
    with understood():
        memory["tensors"] = [ids[one] for one in memory["tensors"]]
    return archive_of({**arrays, MEMORY: text_array(json.dumps(memory))})


def piece_with_tensor_ids(piece: bytes, ids: Mapping[int, int]) -> bytes:
    """One of the pieces that ``Judge.put_away`` gave, for the same tensors under other ids.

    Raises:
        ForeignStateError: the bytes are no such piece, or name a tensor that has no new id.
    """
    stretch = unpacked(piece)
    if stretch.group != TENSORS:
        return piece
    with understood():
        new = np.array([ids[one] for one in stretch.arrays[IDS].tolist()], dtype=np.int64)
    return packed(replace(stretch, arrays={IDS: new}))
