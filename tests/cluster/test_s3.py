"""Blobs in a bucket of a real S3 server: whole, gone, refused, out of reach."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from bifurk_service.errors import StorageError
from bifurk_service.store.blobs import BlobStore, open_blobs
from tests.cluster.bucket import Bucket
from tests.parts import make_part, put_part
from tests.server import DEADLINE_SECONDS, Server


@pytest.fixture
def blobs(bucket: Bucket, request: pytest.FixtureRequest) -> BlobStore:
    """Of the test's own: what others leave in the bucket lies elsewhere."""
    return open_blobs(f"{bucket.url}-{request.node.name}")


def test_a_blob_comes_back_is_listed_and_goes(blobs: BlobStore) -> None:
    blobs.put("p/run/1.part", b"\x00bytes")
    assert blobs.get("p/run/1.part") == b"\x00bytes"
    assert [*blobs.older_than(-60.0)] == ["p/run/1.part"]
    assert [*blobs.older_than(60.0)] == []
    blobs.delete("p/run/1.part")
    blobs.delete("p/run/1.part")
    assert [*blobs.older_than(-60.0)] == []
    with pytest.raises(FileNotFoundError):
        blobs.get("p/run/1.part")


def test_what_another_process_has_written_is_listed_and_read(blobs: BlobStore) -> None:
    assert [*blobs.older_than(-60.0)] == []
    script = (
        "from bifurk_service.store.blobs import open_blobs;"
        f"open_blobs({blobs.url!r}).put('other/1.part', b'theirs')"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=DEADLINE_SECONDS)
    assert [*blobs.older_than(-60.0)] == ["other/1.part"]
    assert blobs.get("other/1.part") == b"theirs"
    blobs.delete("other/1.part")


def every_use(blobs: BlobStore) -> list[Callable[[], Any]]:
    return [
        lambda: blobs.put("a/1", b"x"),
        lambda: blobs.get("a/1"),
        lambda: [*blobs.older_than(1.0)],
        lambda: blobs.delete("a/1"),
    ]


def test_a_bucket_that_is_not_there_is_said_and_not_made(bucket: Bucket) -> None:
    elsewhere = open_blobs("s3://wieghts/blobs")
    for use in every_use(elsewhere)[:3]:
        with pytest.raises(StorageError, match="bucket") as refused:
            use()
        assert refused.value.retry_after_seconds == 30
    assert bucket.buckets() == ["weights"]


def test_refused_credentials_are_said(blobs: BlobStore, bucket: Bucket) -> None:
    bucket.ask_for_credentials(asked=True)
    try:
        for use in every_use(blobs):
            with pytest.raises(StorageError, match=r"(?i)access|forbidden"):
                use()
    finally:
        bucket.ask_for_credentials(asked=False)


def test_a_server_measures_what_lies_in_the_bucket(
    start_server: Callable[..., Server], bucket: Bucket
) -> None:
    server = start_server(BIFURK_BLOB_URL=bucket.url, BIFURK_MEASURE_WORKERS="1")
    for sequence in range(2):
        assert put_part(server, make_part(sequence))[0] == 201
    server.wait_until_judged(1, 2)
    assert len(bucket.listed()) >= 2
    bucket.ask_for_credentials(asked=True)
    try:
        status, problem = put_part(server, make_part(2))
    finally:
        bucket.ask_for_credentials(asked=False)
    assert status == 503
    assert "could not be written" in problem["detail"]
    assert put_part(server, make_part(2))[0] == 201
    server.wait_until_judged(1, 3)


def test_a_server_that_is_away_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = Bucket()
    for name, value in gone.environment.items():
        monkeypatch.setenv(name, value)
    blobs = open_blobs(f"{gone.url}/{os.getpid()}")
    gone.stop()
    with pytest.raises(StorageError, match="Could not connect") as refused:
        blobs.put("a/1", b"x")
    assert refused.value.retry_after_seconds == 30
