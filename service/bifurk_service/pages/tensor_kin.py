"""A tensor among others: the same one in the layers before and after, its pieces, its alerts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bifurk_service.store.models import StoredAlert, Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kin:
    """What a tensor's page leads to: neighbours by depth, the fused whole or its pieces."""

    previous: Tensor | None
    next: Tensor | None
    whole: Tensor | None
    pieces: Sequence[Tensor]


def kin_of(tensor: Tensor, tensors: Sequence[Tensor]) -> Kin:
    """The kin of a tensor among all of its run's."""
    line = [one for one in tensors if one.id == tensor.id or _alike(one) == _alike(tensor)]
    line.sort(key=lambda one: (-1 if one.layer is None else one.layer, one.id))
    at = line.index(tensor)
    return Kin(
        previous=line[at - 1] if at else None,
        next=line[at + 1] if at + 1 < len(line) else None,
        whole=next((one for one in tensors if one.id == tensor.piece_of), None),
        pieces=[one for one in tensors if one.piece_of == tensor.id],
    )


def alerts_naming(tensor: Tensor, alerts: Sequence[StoredAlert]) -> list[StoredAlert]:
    """Alerts that name a tensor; those of a piece name the whole."""
    ids = {tensor.id, tensor.piece_of}
    return [alert for alert in alerts if any(one["id"] in ids for one in alert.tensors)]


def _alike(tensor: Tensor) -> tuple[str, bool, str]:
    """Equal for tensors that differ by their layer alone; outside of layers by their role."""
    if tensor.layer is None:
        return tensor.role, tensor.piece_of is not None, ""
    name = re.sub(rf"(?<!\d){tensor.layer}(?!\d)", "*", tensor.name, count=1)
    return tensor.role, tensor.piece_of is not None, name
