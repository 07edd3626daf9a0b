"""What two runs were set to, where it differs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bifurk_service.pages.compared import Compared, ComparedSide
from bifurk_service.store.engine import Session
from bifurk_service.store.models import Attempt

INTERVAL: Final = "steps between snapshots"


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingRow:
    """One setting of both sides, as text."""

    name: str
    this: str
    other: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedSettings:
    """The settings that differ, and how many are the same."""

    differing: tuple[SettingRow, ...]
    same: int


def compared_settings(session: Session, found: Compared) -> ComparedSettings:
    """Of the attempts behind both snapshots: optimizer, its settings, rates, model, versions."""
    this, other = (_settings(session, side) for side in (found.this, found.other))
    names = list(dict.fromkeys([*this, *other]))
    if this[INTERVAL] is None or other[INTERVAL] is None:
        names.remove(INTERVAL)  # of an attempt's first snapshot there is none
    rows = [
        SettingRow(name=name, this=_text(this.get(name)), other=_text(other.get(name)))
        for name in names
    ]
    differing = tuple(row for row in rows if row.this != row.other)
    return ComparedSettings(differing=differing, same=len(rows) - len(differing))


def _settings(session: Session, side: ComparedSide) -> dict[str, Any]:
    attempt = session.get_one(Attempt, side.snapshot.attempt_id)
    rates = side.snapshot.learning_rates
    interval = None
    if side.snapshot.previous_step is not None:
        interval = side.snapshot.step - side.snapshot.previous_step
    return {
        "optimizer": attempt.optimizer,
        **_named("optimizer", attempt.optimizer_settings),
        "learning rate at the step": rates[0] if len(rates) == 1 else rates,
        INTERVAL: interval,
        "tensors": len(side.tensors),
        "parameters": sum(_size(tensor.shape) for tensor in side.tensors.values()),
        "dtypes": sorted({tensor.dtype for tensor in side.tensors.values()}),
        "came from": attempt.source,
        **_named("version", attempt.client),
    }


def _named(what: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{what}: {name}": value for name, value in sorted(values.items())}


def _size(shape: list[Any]) -> int:
    size = 1
    for extent in shape:
        size *= int(extent)
    return size


def _text(value: Any) -> str:
    if value is None or value in ("", []):
        return "\N{EN DASH}"
    if isinstance(value, list):
        return ", ".join(_text(one) for one in value)
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
