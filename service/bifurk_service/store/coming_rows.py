"""Rows of a run that comes from elsewhere, under ids of this database's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bifurk_service.domain import AttemptState
from bifurk_service.errors import InvalidError
from bifurk_service.store.removal import COMING
from bifurk_service.store.snapshots import MEASURED, RECEIVED
from bifurk_service.store.state_pieces import digest_of
from bifurk_service.store.whole_runs import REFERENCES, Row

WAITING: Final = f"{COMING.strip('.-')} "
"""Before the state of a snapshot that the pipeline must not take up yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Renumbering:
    """Memories of detectors, ``whole`` or a ``piece``, with new ids of tensors for old ones."""

    whole: Callable[[bytes, Mapping[int, int]], bytes]
    piece: Callable[[bytes, Mapping[int, int]], bytes]


@dataclass(slots=True, kw_only=True)
class Coming:
    """A run on its way in, which nobody sees yet.

    Attributes:
        run_id: the id it has got.
        renumbered: how memories of detectors come.
        pieces: of memories, those that have come: new ids of attempts, and places.
        ids: by table, new ids by those in the file.
        attempts: cursor and state by new id, to be set at the end; nothing touches them until then.
    """

    run_id: int
    renumbered: Renumbering
    pieces: set[tuple[int, int, int]] = field(default_factory=set)
    ids: dict[str, dict[int, int]] = field(default_factory=dict)
    attempts: dict[int, tuple[int, str]] = field(default_factory=dict)


def translated(coming: Coming, name: str, row: Row) -> Row:
    """A row of a table as it is stored here.

    Raises:
        InvalidError: it refers to what has not come, or holds a memory that is damaged.
    """
    made = dict(row)
    for column, parent in REFERENCES[name].items():
        made[column] = (
            None
            if (name, column) == ("tensors", "piece_of")
            else new_id(coming, parent, row[column])
        )
    if name == "attempts":
        made["cursor"], made["state"] = -1, AttemptState.FINISHED.value
    elif name == "snapshots" and row["state"] in (RECEIVED, MEASURED):
        made["state"] = WAITING + row["state"]
    elif name in ("detector_states", "thinnings"):
        _bring_memory(coming, made)
    elif name == "detector_pieces":
        _bring_piece(coming, made)
    elif name == "alerts":
        made["tensors"] = [
            {**one, "id": new_id(coming, "tensors", one["id"])} for one in row["tensors"]
        ]
        made["evidence"] = _evidence(coming, row["evidence"])
    return made


def _bring_memory(coming: Coming, row: Row) -> None:
    if row["state"]:
        row["state"] = coming.renumbered.whole(row["state"], coming.ids.get("tensors", {}))
        return
    attempt = row["attempt_id"]
    places = {(attempt, sequence, number) for sequence, number in row["pieces"] or ()}
    if not places or places - coming.pieces:
        raise InvalidError(
            f"a memory of detectors is damaged: of its {len(places)} pieces "
            f"{len(places - coming.pieces)} are not in the file"
        )


def _bring_piece(coming: Coming, row: Row) -> None:
    row["data"] = coming.renumbered.piece(row["data"], coming.ids.get("tensors", {}))
    row["digest"] = digest_of(row["data"])
    coming.pieces.add((row["attempt_id"], row["sequence"], row["number"]))


def _evidence(coming: Coming, evidence: Any) -> Any:
    """Detections name their tensor by its id."""
    if isinstance(evidence, dict):
        return {key: _evidence_of(coming, key, value) for key, value in evidence.items()}
    return evidence


def _evidence_of(coming: Coming, key: str, value: Any) -> Any:
    if key not in ("detections", "followers") or not isinstance(value, list):
        return value
    return [
        {**one, "tensor": new_id(coming, "tensors", one["tensor"])}
        if isinstance(one, dict) and isinstance(one.get("tensor"), int)
        else one
        for one in value
    ]


def new_id(coming: Coming, parent: str, old: Any) -> int:
    """The id that a row of a table has got.

    Raises:
        InvalidError: there is none in the file.
    """
    known = coming.ids.get(parent, {})
    number = known.get(0) if parent == "runs" else known.get(old)
    if number is None:
        raise InvalidError(f"a row refers to number {old!r} of {parent}, which is not in the file")
    return number
