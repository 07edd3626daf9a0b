"""Manifests that lie: each refused with the field and the problem."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest

from bifurk.wire import Part, PartTooLargeError, decode
from tests.wire.forge import (
    MIB,
    MINIMAL,
    forge,
    manifest_alone,
    put_together,
    refused,
)


def test_the_minimal_manifest_is_accepted() -> None:
    assert decode(manifest_alone(MINIMAL), encoding="identity").manifest.run == "r"


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("project", "my run!", "try 'my-run'"),
        ("run", "../etc", "is not a slug"),
        ("run", "", "try 'run'"),
        ("run", "a\n", "without control characters"),
        ("attempt", "a" * 129, "is not a slug"),
        ("attempt", None, "got nothing"),
        ("step", -1, "from 0 to"),
        ("step", 1.5, "a whole number"),
        ("step", True, "a whole number"),
        ("step", "1", "a whole number"),
        ("step", 1 << 63, "a whole number"),
        ("step", 10**4000, "a whole number"),
        ("sequence", None, "got nothing"),
        ("previous_step", -5, "a whole number"),
        ("off_grid", 1, "true or false"),
        ("rank", 1, "from 0 to 0"),
        ("expected_parts", 0, "from 1 to"),
        ("expected_parts", 1 << 40, "from 1 to"),
        ("wall_clock_seconds", -1, "from 0 to"),
        ("wall_clock_seconds", 1e300, "from 0 to"),
        ("wall_clock_seconds", "NaN", "from 0 to"),
        ("display_name", "a\x00b", "control characters"),
        ("display_name", "x" * 513, "at most 512"),
        ("optimizer", ["Adam"], "expected text"),
        ("optimizer_settings", [1], "an object"),
        ("optimizer_settings", {"betas": [0.9]}, "text, number, true, false or null"),
        ("optimizer_settings", {"x": 1 << 64}, "a whole number"),
        ("optimizer_settings", {"x": "y" * 4097}, "at most 4096"),
        ("optimizer_settings", {"a\nb": 1}, "keys of at most"),
        ("optimizer_settings", {str(i): i for i in range(1001)}, "at most 1000"),
        ("learning_rates", {}, "a list"),
        ("learning_rates", ["0.1"], "a number"),
        ("learning_rates", [10**400], "within float64"),
        ("scalars", {"loss": 3}, "an object"),
        (
            "scalars",
            {"loss": {"last": 1, "mean": 1, "min": 1, "max": True, "count": 1}},
            "a number",
        ),
        ("scalars", {"loss": {"last": 1, "mean": 1, "min": 1, "max": 1, "count": 0}}, "from 1"),
        ("marks", [3], "an object"),
        ("marks", [{"kind": "x" * 65, "step": 1}], "at most 64"),
        ("marks", [{"kind": "note", "step": 1}] * 10_001, "at most 10000"),
        ("loss_report", None, "an object"),
        ("loss_report", {"dropped": {"full": -1}}, "from 0"),
        ("loss_report", {"lost_sequences": [[1]]}, "[first, last]"),
        ("loss_report", {"lost_sequences": [[1, 2, 3]]}, "[first, last]"),
        ("loss_report", {"lost_sequences": [[2, 1]]}, "first <= last"),
        ("loss_report", {"lost_sequences": [3]}, "[first, last]"),
        ("loss_report", {"lost_sequences": [[0, False]]}, "whole numbers"),
        ("loss_report", {"overhead_ratio": "NaN"}, "from 0"),
        ("client", {"bifurk": {}}, "text"),
        ("wire_version", "2.0", "1.0 or a later minor"),
        ("wire_version", "1", "major.minor"),
        ("wire_version", "1.0\n", "control characters"),
        ("wire_version", " 1.0", "major.minor"),
        ("wire_version", "\u0661.0", "major.minor"),
        ("wire_version", 1.0, "text"),
        ("tensors", {}, "a list"),
        ("tensors", [3], "an object"),
        ("tensors", [[]] * 5, "an object"),
    ],
)
def test_a_wrong_manifest_field_is_named(field: str, value: Any, problem: str) -> None:
    error = refused(manifest_alone(MINIMAL | {field: value}))
    assert error.where.startswith(f"manifest.{field}")
    assert problem in error.problem
    assert len(str(error)) < 600


@pytest.mark.parametrize("name", ["lone \ud800", "tab\t", "\u202eevil", "\x7f", "line\u2028"])
def test_control_characters_and_lone_surrogates_in_names_are_refused(name: str, part: Part) -> None:
    plain = forge(part, manifest=lambda m: m["tensors"][2].update(name=name))
    assert refused(plain).where == "manifest.tensors[2].name"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[]", "expected an object"),
        ('{"a": NaN}', "NaN is no JSON"),
        ('{"a": -Infinity}', "-Infinity is no JSON"),
        ('{"a": 1e999}', "beyond float64"),
        ('{"a": ' + "1" * 5_000 + "}", "not strict JSON"),
        ('{"step": 1, "step": 2}', "the same key twice"),
        ('{"a": ' + "[" * 200_000 + "]" * 200_000 + "}", "nested too deep"),
        ("[" * 900_000 + "{", "nested too deep"),
        ("", "not strict JSON"),
    ],
)
def test_a_manifest_that_is_not_strict_json_is_refused(text: str, problem: str) -> None:
    header = {"__metadata__": {"manifest": text}}
    error = refused(put_together(json.dumps(header).encode(), b""))
    assert error.where == "manifest"
    assert problem in error.problem


def test_deep_values_below_the_recursion_limit_are_shown_short() -> None:
    deep: Any = []
    for _ in range(300):
        deep = [deep]
    assert len(refused(manifest_alone(MINIMAL | {"step": deep})).problem) < 200


def test_json_of_millions_of_values_is_refused_before_it_is_read() -> None:
    header = {"__metadata__": {"manifest": '{"a": [' + "[]," * 2_500_000 + "0]}"}}
    plain = put_together(json.dumps(header).encode(), b"")
    tracemalloc.start()
    error = refused(plain)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(error, PartTooLargeError)
    assert "at most 2000000 values" in error.problem
    assert peak < 40 * MIB
