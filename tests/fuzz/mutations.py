"""Real parts, and ways to break them that keep enough in order to get past the first check."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import zstandard

from bifurk.exact import Exact
from bifurk.packing import parse_packing
from bifurk.sketch import SAMPLE_SIZE, sketch
from bifurk.wire import (
    LossReport,
    Manifest,
    Mark,
    Part,
    Placement,
    Product,
    ScalarSummary,
    TensorPart,
    encode_plain,
)

LENGTH_BYTES = 8
UGLY: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**31, 2**46, 2**62, 2**63 - 1, 2**63, 2**64, 10**400, 0.5, -0.0,
    1e308, "", "NaN", "Infinity", "..", "a/b", "\ud800", "\u202e", "\x00", "é" * 600, "float64",
    "counts", "full", "values", "none", "F32", "U16", "1.2", "9*(q=1,k=1)@axis0", [], {}, [[]],
    [0, 0], [2**46, 2**46], [1] * 17, {"": {}}, {"a": None}, {"offset": [0], "local_shape": [1]},
)  # fmt: skip
RAW: tuple[bytes, ...] = (
    b"NaN", b"Infinity", b"1e999", b'"a":1,"a":2,', b"[" * 2_000, b'{"a":' * 500, b"\xff",
    b"\\ud800", b"-0", b"0x1", b"\xef\xbb\xbf", b"//", b",,", b"9" * 5_000,
)  # fmt: skip


def seeds() -> list[bytes]:
    """Small parts as they are sent, without compression: together they have every field."""
    manifest = Manifest(project="p", run="r", attempt="a", step=3, sequence=1)
    full = Manifest(
        project="p",
        run="r",
        attempt="a",
        step=3,
        sequence=1,
        rank=1,
        expected_parts=2,
        display_name="n",
        optimizer="AdamW",
        optimizer_settings={"lr": 0.1, "foreach": None},
        learning_rates=(0.1, float("nan")),
        scalars={"loss": ScalarSummary(last=1, mean=1, min=1, max=1, count=1)},
        marks=(Mark(kind="checkpoint", step=3, details={"path": "c"}),),
        loss_report=LossReport(dropped={"busy": 1}, lost_sequences=((0, 0),), overhead_ratio=0.1),
        client={"bifurk": "0.1.0"},
    )
    few = np.arange(6, dtype=np.float32)
    many = np.random.default_rng(0).standard_normal(SAMPLE_SIZE).astype(np.float32)
    small = TensorPart(
        name="gain",
        shape=(2, 3),
        dtype="float32",
        role="mlp.up",
        layer=0,
        values=Exact(dtype="float32", data=few),
        packing=parse_packing("gate=1,up=1@axis0", (2, 3)),
        product=Product(right="other", scale=2.0),
    )
    shard = TensorPart(
        name="shard",
        shape=(4, 3),
        dtype="float64",
        values=Exact(dtype="float64", data=few.astype(np.float64)),
        placement=Placement(offset=(2, 0), local_shape=(2, 3)),
    )
    counted = TensorPart(
        name="w",
        shape=(64, 64),
        dtype="float32",
        counts=sketch(np.round(many)),
        full=Exact(dtype="float32", data=np.round(many).reshape(64, 64)),
    )
    parts = [
        Part(manifest=manifest, tensors=()),
        Part(manifest=manifest, tensors=(small,)),
        Part(manifest=full, tensors=(small, shard)),
        Part(manifest=manifest, tensors=(counted, shard)),
    ]
    return [encode_plain(part) for part in parts]


def mutated(body: bytes, rng: random.Random) -> bytes:
    """A plain body, broken in one of the ways below, now and then in two."""
    for _ in range(1 + (rng.random() < 0.3)):
        body = rng.choice(WAYS)(body, rng)
    return body


def squeezed(body: bytes) -> bytes:
    """The same in one zstd frame."""
    return zstandard.ZstdCompressor(level=1).compress(body)


def _bytes_changed(body: bytes, rng: random.Random) -> bytes:
    broken = bytearray(body)
    for _ in range(rng.randint(1, 4)):
        if broken:
            broken[rng.randrange(len(broken))] = rng.randrange(256)
    return bytes(broken)


def _cut(body: bytes, rng: random.Random) -> bytes:
    return body[: rng.randrange(len(body) + 1)]


def _grown(body: bytes, rng: random.Random) -> bytes:
    return body + rng.randbytes(rng.randint(1, 64))


def _length_lied(body: bytes, rng: random.Random) -> bytes:
    lie = rng.choice([0, 1, len(body), 2**31, 2**63, 2**64 - 1, rng.randrange(2**64)])
    return lie.to_bytes(LENGTH_BYTES, "little") + body[LENGTH_BYTES:]


def _header_text_changed(body: bytes, rng: random.Random) -> bytes:
    header, data = _apart(body)
    place = rng.randrange(len(header) + 1)
    piece = rng.choice(RAW) if rng.random() < 0.5 else rng.randbytes(rng.randint(1, 4))
    skipped = rng.choice([0, 0, len(piece)])
    return _together(header[:place] + piece + header[place + skipped :], data)


def _header_value_changed(body: bytes, rng: random.Random) -> bytes:
    header, data = _apart(body)
    document = _parsed(header)
    return body if document is None else _together(_dumped(_put(document, rng)), data)


def _manifest_value_changed(body: bytes, rng: random.Random) -> bytes:
    header, data = _apart(body)
    document = _parsed(header)
    try:
        manifest = json.loads(document["__metadata__"]["manifest"])  # type: ignore[index]
        document["__metadata__"]["manifest"] = _dumped(_put(manifest, rng)).decode()  # type: ignore[index]
    except (TypeError, KeyError, ValueError, RecursionError):
        return body
    return _together(_dumped(document), data)


def _entries_swapped(body: bytes, rng: random.Random) -> bytes:
    header, data = _apart(body)
    document = _parsed(header)
    names = list(document) if isinstance(document, dict) else []
    if len(names) < 2:
        return body
    one, other = rng.sample(names, 2)
    document[one], document[other] = document[other], document[one]  # type: ignore[index]
    return _together(_dumped(document), data)


WAYS: Sequence[Callable[[bytes, random.Random], bytes]] = (
    _bytes_changed,
    _cut,
    _grown,
    _length_lied,
    _header_text_changed,
    _header_value_changed,
    _header_value_changed,
    *[_manifest_value_changed] * 8,
    _entries_swapped,
)


def _apart(body: bytes) -> tuple[bytes, bytes]:
    length = int.from_bytes(body[:LENGTH_BYTES], "little")
    end = min(LENGTH_BYTES + length, len(body))
    return body[LENGTH_BYTES:end], body[end:]


def _together(header: bytes, data: bytes) -> bytes:
    return len(header).to_bytes(LENGTH_BYTES, "little") + header + data


def _parsed(header: bytes) -> Any:
    try:
        return json.loads(header)
    except (ValueError, RecursionError):
        return None


def _dumped(document: Any) -> bytes:
    return json.dumps(document).encode()


def _put(document: Any, rng: random.Random) -> Any:
    """The document with another value, or none, at a place of it."""
    if not isinstance(document, dict | list) or not document:
        return rng.choice(UGLY)
    keys = list(document) if isinstance(document, dict) else range(len(document))
    key = rng.choice(keys)
    if isinstance(document[key], dict | list) and rng.random() < 0.8:
        document[key] = _put(document[key], rng)
    elif rng.random() < 0.2:
        del document[key]
    else:
        document[key] = rng.choice(UGLY)
    return document
