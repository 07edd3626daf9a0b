"""The rule that a page shows does what it says when it is put into the alerts file."""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from bifurk_service.domain import AffectedTensor, Alert, Severity, TensorInfo
from bifurk_service.notify.rules import Policy
from bifurk_service.pages.silencing import glob_of, silencing_rule

AWKWARD = 'a [b]: "*?" #é'


def alert(*names: str, kind: str = "regime_shift") -> Alert:
    tensors = tuple(
        AffectedTensor(
            tensor=TensorInfo(id=n, name=name, layer=None, role="other", shape=(1,)),
            statistics=("std",),
            onset_first_step=0,
            onset_last_step=1,
            before=1.0,
            after=2.0,
            score=2.0,
        )
        for n, name in enumerate(names)
    )
    return Alert(
        fingerprint="f",
        kind=kind,
        severity=Severity.CRITICAL,
        statistic="std",
        tensors=tensors,
        detected_step=2,
        detected_sequence=2,
        onset_first_step=0,
        onset_last_step=1,
        before=1.0,
        after=2.0,
        score=2.0,
        sentence="",
    )


def silences(rule: str, told: Alert, folder: Path, *, project: str, run: str) -> bool:
    path = folder / "alerts.yaml"
    path.write_text(rule, encoding="utf-8")
    ruling = Policy.load(path).rule(
        told, project=project, run=run, seconds_since_told=lambda _kind: None
    )
    return ruling.silenced_by is not None


@pytest.mark.parametrize(
    "names",
    [
        (),
        ("head.weight",),
        ("blocks.0.mlp.up.weight", "blocks.1.mlp.up.weight"),
        ("blocks.2.attention.qkv.weight", "blocks.2.mlp.up.bias"),
        ("a.b", "a.b.b"),
        ("a.c", "a.b.c"),
        (AWKWARD, f"{AWKWARD}.weight"),
        ("embedding", "head"),
    ],
)
def test_the_rule_silences_the_alert_it_was_shown_with(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    rule = silencing_rule(kind="regime_shift", project="p", run=AWKWARD, tensors=names)
    told = alert(*names)
    assert silences(rule, told, tmp_path, project="p", run=AWKWARD)
    for kept in (replace(told, kind="frozen"),):
        assert not silences(rule, kept, tmp_path, project="p", run=AWKWARD)
    assert not silences(rule, told, tmp_path, project="p", run="another")
    assert not silences(rule, told, tmp_path, project="q", run=AWKWARD)


def test_it_hides_no_tensor_that_it_was_not_made_for(tmp_path: Path) -> None:
    names = ("blocks.0.mlp.up.weight", "blocks.1.mlp.up.weight")
    rule = silencing_rule(kind="regime_shift", project="p", run="r", tensors=names)
    assert not silences(rule, alert(*names, "head.weight"), tmp_path, project="p", run="r")


@pytest.mark.parametrize("names", [("a.b", "a.b.b"), ("x", "y"), ("a.[0].w", "a.[1].w")])
def test_a_glob_matches_all_it_was_made_of(names: tuple[str, ...]) -> None:
    assert all(fnmatchcase(name, glob_of(names)) for name in names)
