"""Hostile bodies get an answer that says what is wrong where; nothing of them is written."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard

from bifurk.wire import encode, encode_plain
from tests.asking import asked
from tests.parts import address, make_part, make_tensor, put_body, put_part
from tests.server import Server

PART = make_part(0)
PATH = address(PART.manifest)
BODY = encode(PART)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(
        tmp_path_factory.mktemp("hostile") / "server",
        {"BIFURK_MAX_PART_BYTES": "4000000", "BIFURK_MAX_DECODED_BYTES": "8000000"},
    )
    yield server
    server.stop()


def with_manifest(change: Callable[[dict[str, Any]], None]) -> bytes:
    """A body whose manifest was changed after it was made."""
    plain = encode_plain(PART)
    length = struct.unpack("<Q", plain[:8])[0]
    header = json.loads(plain[8 : 8 + length])
    manifest = json.loads(header["__metadata__"]["manifest"])
    change(manifest)
    header["__metadata__"]["manifest"] = json.dumps(manifest)
    packed = json.dumps(header).encode()
    packed += b" " * (-len(packed) % 8)
    return zstandard.compress(struct.pack("<Q", len(packed)) + packed + plain[8 + length :])


def million_tensors(manifest: dict[str, Any]) -> None:
    manifest["tensors"] = [{"name": "t"}] * 1_000_000


def tensor(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda manifest: manifest["tensors"][0].update(fields)


def top(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda manifest: manifest.update(fields)


def twice(manifest: dict[str, Any]) -> None:
    manifest["tensors"][1]["name"] = manifest["tensors"][0]["name"]


BODIES: dict[str, tuple[bytes, int, str]] = {
    "empty": (b"", 422, "body"),
    "truncated": (BODY[: len(BODY) // 2], 422, "body"),
    "not zstd": (b"\x00" * 1000, 422, "body"),
    "trailing bytes": (BODY + b"more", 422, "body"),
    "zstd of garbage": (zstandard.compress(b"garbage" * 100), 422, "safetensors"),
    "a decompression bomb": (zstandard.compress(b"\x00" * 500_000_000), 413, "body"),
    "a million tensors": (with_manifest(million_tensors), 413, "body"),
    "an absurd shape": (with_manifest(tensor(shape=[2**40, 2**40])), 422, "tensors[0].shape"),
    "a negative shape": (with_manifest(tensor(shape=[-1, 4])), 422, "tensors[0].shape"),
    "a shape the counts contradict": (
        with_manifest(tensor(shape=[160, 121])),
        422,
        "tensors[0]",
    ),
    "a tensor of no elements": (with_manifest(tensor(shape=[0, 4])), 422, "tensors[0].shape"),
    "the same name twice": (with_manifest(twice), 422, "tensors[1].name"),
    "a control character in a name": (
        with_manifest(tensor(name="a\u0000b")),
        422,
        "tensors[0].name",
    ),
    "a name of 10,000 characters": (with_manifest(tensor(name="x" * 10_000)), 422, "name"),
    "a step that is text": (with_manifest(top(step="ten")), 422, "manifest.step"),
    "a step beyond int64": (with_manifest(top(step=2**70)), 422, "manifest.step"),
    "another major version": (with_manifest(top(wire_version="9.0")), 422, "wire_version"),
    "a project with a slash": (with_manifest(top(project="../etc")), 422, "manifest.project"),
    "a rank beyond the parts": (with_manifest(top(rank=3)), 422, "manifest.rank"),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_hostile_body_is_refused_with_where_it_is_wrong(shared: Server, name: str) -> None:
    body, expected, where = BODIES[name]
    status, problem = put_body(shared, PATH, body)
    assert (status, problem["status"]) == (expected, expected), problem
    assert where in problem["where"]
    assert problem["detail"]
    assert shared.get("/api/v1/runs")["items"] == []
    assert stored_files(shared.data_dir) == []
    assert shared.get("/healthz")["status"] == "ok"


@pytest.mark.parametrize("path", [PATH, PATH.partition("/snapshots")[0]])
def test_a_wrong_digest_is_refused_and_says_to_send_it_again(shared: Server, path: str) -> None:
    digest = "sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:"
    headers = {"Content-Encoding": "zstd", "Content-Digest": digest}
    answer = asked("PUT", shared.url + path, body=BODY, headers=headers)
    assert answer.status == 422
    assert answer.json()["where"] == "Content-Digest"
    assert "send it again" in answer.json()["detail"]
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize("digest", ["", "md5=:AAAA:", "sha-256=:***:", "sha-256=:AAAA:"])
def test_a_digest_that_cannot_be_read_is_refused(shared: Server, digest: str) -> None:
    status, problem = put_body(shared, PATH, BODY, Content_Digest=digest)
    assert (status, problem["where"]) == (422, "Content-Digest")


def test_an_unknown_encoding_is_unsupported(shared: Server) -> None:
    status, problem = put_body(shared, PATH, BODY, Content_Encoding="br")
    assert status == 415
    assert "zstd, identity" in problem["detail"]


def test_a_body_beyond_the_limit_is_refused_with_the_limit(shared: Server) -> None:
    status, problem = put_body(shared, PATH, b"\x00" * 4_000_001)
    assert status == 413
    assert "4000000" in problem["detail"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/projects/../runs/r/attempts/a/snapshots/0/parts/0",
        "/api/v1/projects/a%2Fb/runs/r/attempts/a/snapshots/0/parts/0",
        "/api/v1/projects/p/runs/..%00/attempts/a/snapshots/0/parts/0",
        "/api/v1/projects/p/runs/ü/attempts/a/snapshots/0/parts/0",
        "/api/v1/projects/p/runs/r/attempts/a/snapshots/-1/parts/0",
        "/api/v1/projects/p/runs/r/attempts/a/snapshots/x/parts/0",
        f"/api/v1/projects/p/runs/r/attempts/a/snapshots/{2**70}/parts/0",
    ],
)
def test_a_path_that_is_no_address_is_refused(shared: Server, path: str) -> None:
    status, problem = put_body(shared, path, BODY)
    assert 400 <= status < 500
    assert problem["title"]
    assert shared.get("/api/v1/runs")["items"] == []


def test_unicode_slashes_and_dots_in_tensor_names_are_only_text(server: Server) -> None:
    names = ["../../etc/passwd", "blöcke/0/重み", "..", "a b'; DROP TABLE runs; --", "<b>x</b>"]
    values = np.linspace(-1, 1, 64, dtype=np.float32)
    part = make_part(0)
    part = type(part)(
        manifest=part.manifest, tensors=tuple(make_tensor(name, values) for name in names)
    )
    assert put_part(server, part)[0] == 201
    server.wait_until_judged(1, 1)
    listed = [tensor["name"] for tensor in server.get("/api/v1/runs/1/tensors")["items"]]
    assert listed == names


def test_a_tensor_of_nothing_but_nan_is_stored_and_alerted(server: Server) -> None:
    values = np.full(64, np.nan, dtype=np.float32)
    part = make_part(0)
    part = type(part)(manifest=part.manifest, tensors=(make_tensor("w", values),))
    assert put_part(server, part)[0] == 201
    server.wait_until_judged(1, 1)
    [alert] = server.get("/api/v1/alerts?severity=critical")["items"]
    assert alert["kind"] == "non_finite"
    statistics = server.get("/api/v1/runs/1/tensors/1/statistics")
    assert statistics["values"]["nonfinite_count"] == 64
    assert statistics["values"]["std"] is None
    assert statistics["no_value"]["std"]


def stored_files(data_dir: Path) -> list[Path]:
    return [path for path in (data_dir / "blobs").rglob("*") if path.is_file()]
