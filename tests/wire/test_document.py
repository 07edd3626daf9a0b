"""The document that other clients are written from says what the code does."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from bifurk.sketch import sample_positions, sketch
from bifurk.wire import (
    WIRE_VERSION,
    AttemptReport,
    LossReport,
    Manifest,
    Mark,
    Placement,
    Product,
    ScalarSummary,
    WireLimits,
)
from bifurk.wire.counts import DTYPES
from bifurk.wire.limits import MAX_MARKS, MAX_NAME_CHARACTERS, MAX_PARTS, MAX_TEXT_CHARACTERS
from bifurk.wire.payloads import KINDS
from bifurk.wire.slug import SLUG_PATTERN

DOCUMENT = (Path(__file__).parents[2] / "docs" / "wire-format.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "value", [Manifest, Mark, LossReport, ScalarSummary, Placement, Product, AttemptReport]
)
def test_every_field_is_described(value: type) -> None:
    for field in dataclasses.fields(value):
        assert re.search(rf"\b{field.name}\b", DOCUMENT), field.name


def test_version_kinds_entries_and_limits_are_the_codes_own() -> None:
    assert f"# Wire format, version {WIRE_VERSION}" in DOCUMENT
    assert f"`{SLUG_PATTERN}`" in DOCUMENT
    for name in (*DTYPES, *KINDS):
        assert f"`{name}`" in DOCUMENT
    numbers = (MAX_MARKS, MAX_PARTS, MAX_TEXT_CHARACTERS, WireLimits().tensors)
    for number in (*numbers, WireLimits().json_values):
        assert f"{number:,}" in DOCUMENT
    assert f"{MAX_NAME_CHARACTERS} characters" in DOCUMENT
    assert f"{WireLimits().decoded_bytes >> 20} MiB unpacked" in DOCUMENT
    assert f"{WireLimits().header_bytes >> 20} MiB of header" in DOCUMENT


def test_the_table_of_sample_positions_is_true() -> None:
    rows = re.findall(r"^\| ([\d,]+) \| ([\d, ]+) \|$", DOCUMENT, flags=re.MULTILINE)
    assert len(rows) == 4
    for size, chosen in rows:
        positions = sample_positions(int(size.replace(",", "")))
        assert positions[[0, 1, 2, 3, 4_095]].tolist() == [int(p) for p in chosen.split(", ")]


def test_the_table_of_keys_is_true() -> None:
    rows = re.findall(
        r"^\| (-?\d)(?:, -0)? \| [\w, ]+ \| (\d+) \| [\w, ]+ \| (\d+) \|$",
        DOCUMENT,
        flags=re.MULTILINE,
    )
    assert [row[0] for row in rows] == ["0", "1", "-1", "-2"]
    for value, bfloat16, float16 in rows:
        assert sketch(np.array([value], dtype=np.float32)).keys.tolist() == [int(bfloat16)]
        assert sketch(np.array([value], dtype=np.float16)).keys.tolist() == [int(float16)]
