"""Tensors and counts that lie: each refused with the tensor and the problem."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bifurk.wire import Part, PartTooLargeError, encode_plain
from tests.wire.forge import (
    MINIMAL,
    forge,
    manifest_alone,
    refused,
    replace_array,
    take_apart,
)


def test_a_million_tensors_are_refused_early() -> None:
    entry = {"name": "w", "shape": [1], "dtype": "float32", "carries": ["values"]}
    plain = manifest_alone(MINIMAL | {"tensors": [entry] * 1_000_000})
    assert isinstance(refused(plain), PartTooLargeError)
    few = manifest_alone(MINIMAL | {"tensors": [entry] * 20_001})
    assert "at most 20000 entries, got 20001" in refused(few).problem


@pytest.mark.parametrize(
    ("change", "field", "problem"),
    [
        ({"name": ""}, "name", "a name"),
        ({"name": 5}, "name", "text"),
        ({"name": "x" * 513}, "name", "at most 512"),
        ({"dtype": "int8"}, "dtype", "one of bfloat16"),
        ({"dtype": ["float32"]}, "dtype", "text"),
        ({"shape": [0, 64]}, "shape", "tensors without any are left out"),
        ({"shape": [1] * 17}, "shape", "at most 16"),
        ({"shape": [1 << 30, 1 << 30]}, "shape", "elements"),
        ({"shape": [1 << 62]}, "shape", "whole numbers"),
        ({"shape": [16_385]}, "shape", "at most 16384 elements where values are carried"),
        ({"shape": [65]}, "values", "ends before"),
        ({"carries": ["values", "values"]}, "carries", "each once"),
        ({"carries": [["values"]]}, "carries", "any of counts"),
        ({"carries": [None]}, "carries", "any of counts"),
        ({"carries": ["x"] * 17}, "carries", "at most 16"),
        ({"carries": []}, "carries", "either counts or values"),
        ({"carries": ["values", "counts"]}, "carries", "either counts or values"),
        ({"carries": ["values", "sample"]}, "carries", "a sample only beside counts"),
        ({"carries": ["values", "full"]}, "full", "`full.0` is missing"),
        ({"layer": -1}, "layer", "a whole number"),
        ({"layer": 1 << 31}, "layer", "a whole number"),
        ({"layer": True}, "layer", "a whole number"),
        ({"role": 3}, "role", "text"),
        ({"placement": 3}, "placement", "an object"),
        ({"placement": {"offset": [0]}}, "placement.local_shape", "a list"),
        ({"placement": {"offset": [0], "local_shape": [0]}}, "placement.local_shape", "left out"),
        ({"placement": {"offset": [], "local_shape": [64]}}, "placement", "expected 1 axes"),
        ({"placement": {"offset": [1], "local_shape": [64]}}, "placement", "reach beyond [64]"),
        (
            {"shape": [8, 8], "placement": {"offset": [1], "local_shape": [64]}},
            "placement",
            "reach beyond [64]",
        ),
        (
            {"shape": [8, 8], "placement": {"offset": [0, 0, 0], "local_shape": [8, 8, 1]}},
            "placement",
            "expected 2 axes in offset and local_shape, or 1",
        ),
        ({"placement": {"offset": [-1], "local_shape": [64]}}, "placement.offset", "from 0"),
    ],
)
def test_a_wrong_tensor_field_is_named(
    change: dict[str, Any], field: str, problem: str, part: Part
) -> None:
    error = refused(forge(part, manifest=lambda m: m["tensors"][0].update(change)))
    assert error.where == f"manifest.tensors[0].{field}"
    assert problem in error.problem


def test_a_name_that_two_tensors_have_is_refused(part: Part) -> None:
    error = refused(forge(part, manifest=lambda m: m["tensors"][4].update(name="h.1.gain")))
    assert error.where == "manifest.tensors[4].name"
    assert error.problem == "'h.1.gain' is named twice"


def test_counts_that_do_not_add_up_to_the_shape_are_refused(part: Part) -> None:
    error = refused(forge(part, manifest=lambda m: m["tensors"][1].update(shape=[130, 128])))
    assert error.where == "manifest.tensors[1].counts"
    assert "expected counts of 16640 elements as its shape says, got 16510" in error.problem


def test_values_that_no_tensor_carries_are_refused(part: Part) -> None:
    shorter = forge(part, manifest=lambda m: m["tensors"][0].update(shape=[63]))
    assert refused(shorter).where == "values.bfloat16"

    def drop_full(manifest: dict[str, Any]) -> None:
        manifest["tensors"][1]["carries"].remove("full")

    assert "no tensor carries it" in refused(forge(part, manifest=drop_full)).problem


def test_full_values_of_another_shape_are_refused(part: Part) -> None:
    error = refused(forge(part, header=lambda h: h["full.1"].update(shape=[127, 130])))
    assert error.where == "manifest.tensors[1].full"
    assert "expected shape [130, 127], got [127, 130]" in error.problem


def test_an_array_of_another_dtype_is_refused(part: Part) -> None:
    error = refused(forge(part, header=lambda h: h["values.bfloat16"].update(dtype="F16")))
    assert error.where == "values.bfloat16"


@pytest.mark.parametrize(
    "entry", ["counts.offsets", "counts.key_deltas", "counts.planes", "counts.nonfinite"]
)
def test_a_missing_array_is_named(entry: str, part: Part) -> None:
    def rename(header: dict[str, Any]) -> None:
        header["elsewhere"] = header.pop(entry)

    assert f"`{entry}` is missing" in refused(forge(part, header=rename)).problem


Change = Callable[[np.ndarray[Any, np.dtype[Any]]], object]


def _set(index: Any, value: Any) -> Change:
    return lambda array: array.__setitem__(index, value)


@pytest.mark.parametrize(
    ("entry", "change", "problem"),
    [
        ("counts.offsets", _set(0, 1), "offsets from 0"),
        ("counts.offsets", _set(-1, 1 << 62), "offsets from 0"),
        ("counts.offsets", _set(1, -5), "0 to 65536 keys"),
        ("counts.offsets", _set(1, -(1 << 63)), "0 to 65536 keys"),
        ("counts.offsets", _set(1, (1 << 63) - 1), "0 to 65536 keys"),
        ("counts.key_deltas", _set(1, 0), "do not ascend"),
        ("counts.key_deltas", _set(slice(0, 9), 65_535), "do not ascend"),
        ("counts.key_deltas", _set(0, 0), "no finite bf16 value"),
        ("counts.planes", _set((slice(None), 0), 0), "not all from 1"),
        ("counts.nonfinite", _set((0, 0), -1), "none negative"),
        ("counts.nonfinite", _set((0, 0), (1 << 63) - 1), "none negative"),
    ],
)
def test_counts_that_lie_are_refused(entry: str, change: Change, problem: str, part: Part) -> None:
    whole, data = take_apart(encode_plain(part))
    described = whole[entry]
    dtype = {"I64": "<i8", "U16": "<u2", "U8": "u1"}[described["dtype"]]
    flat = np.frombuffer(data[slice(*described["data_offsets"])], dtype=dtype)
    array = flat.reshape(described["shape"]).copy()
    change(array)
    assert problem in refused(replace_array(part, entry, array)).problem


@pytest.mark.parametrize(
    ("entry", "array", "problem"),
    [
        ("counts.offsets", np.zeros((2, 3), dtype="<i8"), "expected 6 offsets"),
        ("counts.offsets", np.zeros((), dtype="<i8"), "expected 6 offsets"),
        ("counts.offsets", np.zeros(5, dtype="<u2"), "expected int64, got uint16"),
        ("counts.key_deltas", np.zeros((), dtype="<u2"), "expected one axis"),
        ("counts.key_deltas", np.zeros((0, 7), dtype="<u2"), "expected one axis"),
        ("counts.planes", np.zeros((), dtype="u1"), "1 to 8 planes"),
        ("counts.planes", np.zeros((9, 3), dtype="u1"), "1 to 8 planes"),
        ("counts.nonfinite", np.zeros((5, 2), dtype="<i8"), "x 3 numbers"),
    ],
)
def test_counts_of_the_wrong_form_are_refused(
    entry: str, array: np.ndarray[Any, np.dtype[Any]], problem: str, part: Part
) -> None:
    assert problem in refused(replace_array(part, entry, array)).problem


def test_counts_that_overflow_are_refused(part: Part) -> None:
    whole, _ = take_apart(encode_plain(part))
    keys = whole["counts.planes"]["shape"][1]
    full = np.full((8, keys), 255, dtype="u1")
    assert "not all from 1" in refused(replace_array(part, "counts.planes", full)).problem
