"""Alerts and notices made by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bifurk_service.domain import AffectedTensor, Alert, Severity, TensorInfo
from bifurk_service.notify.notice import Notice


def affected(name: str) -> AffectedTensor:
    return AffectedTensor(
        tensor=TensorInfo(id=1, name=name, layer=0, role="mlp.up", shape=(4, 4)),
        statistics=("std",),
        onset_first_step=900,
        onset_last_step=1000,
        before=1.0,
        after=2.0,
        score=3.0,
    )


def alert(*tensors: str, **changed: Any) -> Alert:
    made = Alert(
        fingerprint="abc",
        kind="regime_shift",
        severity=Severity.WARNING,
        statistic="std",
        tensors=tuple(affected(name) for name in tensors),
        detected_step=1000,
        detected_sequence=10,
        onset_first_step=900,
        onset_last_step=1000,
        before=1.0,
        after=2.0,
        score=3.0,
        sentence="run: std rose.",
    )
    return replace(made, **changed)


def notice(**changed: Any) -> Notice:
    made = Notice(
        project="gpt",
        run="small",
        attempt="first",
        fingerprint="abc",
        kind="regime_shift",
        severity=Severity.WARNING,
        status="firing",
        sentence="small: std of h.3.mlp.up.weight rose.",
        statistic="std",
        onset_first_step=900,
        onset_last_step=1000,
        detected_step=1100,
        tensors=("h.3.mlp.up.weight",),
        starts_at=1_800_000_000.0,
        ends_at=None,
        url="https://bifurk.example.org/alerts/7",
    )
    return replace(made, **changed)
