"""Bodies broken at random: only ``WireError`` ever comes out, whatever went in."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bifurk.exact import Exact
from bifurk.packing import parse_packing
from bifurk.sketch import SAMPLE_SIZE, sketch
from bifurk.wire import (
    LossReport,
    Manifest,
    Mark,
    Part,
    ScalarSummary,
    TensorPart,
    WireError,
    decode,
    decode_attempt,
    encode,
    encode_plain,
)
from tests.drawn import DRAWN
from tests.wire.forge import put_together, take_apart, zstd


def _whole() -> Part:
    values = np.random.default_rng(0).standard_normal(SAMPLE_SIZE).astype(np.float32)
    exact = Exact(dtype="float32", data=values)
    tensors = (
        TensorPart(
            name="gain", shape=(8,), dtype="float32", values=Exact(dtype="float32", data=values[:8])
        ),
        TensorPart(
            name="w",
            shape=(64, 64),
            dtype="float32",
            counts=sketch(values),
            sample=exact,
            packing=parse_packing("4*(gate,up)", (64, 64)),
        ),
        TensorPart(
            name="v",
            shape=(64, 64),
            dtype="float32",
            counts=sketch(-values),
            full=Exact(dtype="float32", data=values.reshape(64, 64)),
        ),
    )
    manifest = Manifest(
        project="p",
        run="r",
        attempt="a",
        step=3,
        sequence=1,
        optimizer_settings={"lr": 0.1},
        learning_rates=(0.1,),
        scalars={"loss": ScalarSummary(last=1, mean=1, min=1, max=1, count=1)},
        marks=(Mark(kind="checkpoint", step=3, details={"path": "c"}),),
        loss_report=LossReport(dropped={"busy": 1}, lost_sequences=((0, 0),)),
    )
    return Part(manifest=manifest, tensors=tensors)


PLAIN = encode_plain(_whole())
BODY = encode(_whole())
HEADER, DATA = take_apart(PLAIN)
HEADER_BYTES = len(PLAIN) - len(DATA)
MANIFEST = json.loads(HEADER["__metadata__"]["manifest"])

EXAMPLES = 20 * DRAWN
"""A test; ``tests/fuzz`` breaks whole parts by the thousand."""
hostile_settings = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
edits = st.lists(
    st.tuples(st.integers(0, len(PLAIN)), st.binary(max_size=9)), min_size=1, max_size=5
)
ugly = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([-1, 1 << 31, 1 << 62, 1 << 63, 1 << 64, 10**400])
    | st.floats()
    | st.text(st.characters(), max_size=8)
    | st.sampled_from(
        ["NaN", "..", "a/b", "\ud800", "float64", "counts", "full", "none", "a=32,b=32@axis0"]
    ),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(max_size=5) | st.sampled_from(["name", "shape"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


def refusal(read: Callable[[], object]) -> WireError | None:
    """What was wrong, or None; any other exception fails the test."""
    try:
        read()
    except WireError as error:
        return error
    return None


def decodes_or_says_why(body: bytes, encoding: str) -> None:
    error = refusal(lambda: decode(body, encoding=encoding))
    assert error is None or (error.where and error.problem)


def paths(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON document, the document itself included."""
    found = [path]
    keys = document if isinstance(document, dict) else range(len(document))
    for key in keys:
        child = document[key]
        found += paths(child, (*path, key)) if isinstance(child, dict | list) else [(*path, key)]
    return found


def put(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    changed = copy.deepcopy(document)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return changed


@hostile_settings
@given(edits, st.booleans())
def test_edited_plain_bytes(changes: list[tuple[int, bytes]], insert: bool) -> None:
    body = bytearray(PLAIN)
    for place, piece in changes:
        body[place : place if insert else place + len(piece)] = piece
    decodes_or_says_why(bytes(body), "identity")


@hostile_settings
@given(
    st.lists(st.tuples(st.integers(0, HEADER_BYTES), st.integers(0, 255)), min_size=1, max_size=4)
)
def test_edited_header_bytes(changes: list[tuple[int, int]]) -> None:
    body = bytearray(PLAIN)
    for place, value in changes:
        body[place] = value
    decodes_or_says_why(bytes(body), "identity")


@hostile_settings
@given(
    st.lists(st.tuples(st.integers(0, len(BODY) - 1), st.integers(0, 255)), min_size=1, max_size=6)
)
def test_edited_compressed_bytes(changes: list[tuple[int, int]]) -> None:
    body = bytearray(BODY)
    for place, value in changes:
        body[place] = value
    decodes_or_says_why(bytes(body), "zstd")


@hostile_settings
@given(st.binary(max_size=200), st.sampled_from(["zstd", "identity"]))
def test_arbitrary_bytes(body: bytes, encoding: str) -> None:
    decodes_or_says_why(body, encoding)
    decodes_or_says_why(zstd(body), "zstd")


@hostile_settings
@given(st.sampled_from(paths(MANIFEST)), ugly)
def test_any_value_at_any_place_of_the_manifest(path: tuple[Any, ...], value: Any) -> None:
    header = copy.deepcopy(HEADER)
    header["__metadata__"]["manifest"] = json.dumps(put(MANIFEST, path, value))
    decodes_or_says_why(put_together(json.dumps(header).encode(), DATA), "identity")


@hostile_settings
@given(st.sampled_from(paths(HEADER)), ugly)
def test_any_value_at_any_place_of_the_header(path: tuple[Any, ...], value: Any) -> None:
    header = json.dumps(put(HEADER, path, value)).encode()
    decodes_or_says_why(put_together(header, DATA), "identity")


@hostile_settings
@given(
    st.dictionaries(st.sampled_from(["wire_version", "state", "last_step", "loss_report"]), ugly)
)
def test_any_attempt_report(changes: dict[str, Any]) -> None:
    document = {"wire_version": "1.0", "state": "running"} | changes
    error = refusal(lambda: decode_attempt(json.dumps(document).encode()))
    assert error is None or error.where.startswith("attempt")


@hostile_settings
@given(st.binary(max_size=60))
def test_arbitrary_bytes_as_attempt_report(body: bytes) -> None:
    error = refusal(lambda: decode_attempt(body))
    assert error is None or error.where.startswith("attempt")
