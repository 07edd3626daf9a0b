"""Blobs are whole or not there."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from bifurk_service.errors import StorageError
from bifurk_service.store.blobs import BlobStore, FolderBlobs, open_blobs


@pytest.fixture(params=["folder", "memory"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    return open_blobs(str(tmp_path / "blobs") if request.param == "folder" else "memory://blobs")


def test_a_blob_comes_back_as_it_was_put(blobs: BlobStore) -> None:
    blobs.put("a/b/1.part", b"\x00bytes")
    assert blobs.get("a/b/1.part") == b"\x00bytes"
    assert open_blobs(blobs.url).get("a/b/1.part") == b"\x00bytes"


def test_a_second_put_replaces_the_first(blobs: BlobStore) -> None:
    blobs.put("a/1", b"old and longer")
    blobs.put("a/1", b"new")
    assert blobs.get("a/1") == b"new"


def test_a_blob_that_is_not_there_is_said_to_be_missing(blobs: BlobStore) -> None:
    with pytest.raises(FileNotFoundError):
        blobs.get("a/none")


def test_deleting_twice_is_no_error(blobs: BlobStore) -> None:
    blobs.put("a/1", b"x")
    blobs.delete("a/1")
    blobs.delete("a/1")
    with pytest.raises(FileNotFoundError):
        blobs.get("a/1")


def test_what_cannot_be_deleted_is_said(tmp_path: Path) -> None:
    (tmp_path / "blobs/a/1").mkdir(parents=True)
    with pytest.raises(StorageError, match="the blob a/1 could not be deleted: "):
        open_blobs(str(tmp_path / "blobs")).delete("a/1")


def test_folders_left_empty_go_and_others_stay(tmp_path: Path) -> None:
    blobs = open_blobs(str(tmp_path / "blobs"))
    blobs.put("project/run/1", b"x")
    blobs.put("project/other/1", b"x")
    blobs.delete("project/run/1")
    assert not (tmp_path / "blobs/project/run").exists()
    assert (tmp_path / "blobs/project/other/1").exists()


def test_a_folder_that_goes_with_its_last_blob_is_made_again_for_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs, make = open_blobs(str(tmp_path)), Path.mkdir
    left = [3]

    def made(folder: Path, **how: bool) -> None:
        make(folder, **how)
        if left[0]:
            left[0] -= 1
            blobs.put("run/1", b"the last")
            blobs.delete("run/1")

    monkeypatch.setattr(Path, "mkdir", made)
    blobs.put("run/2", b"the next")
    assert blobs.get("run/2") == b"the next"


def test_a_write_that_fails_leaves_nothing_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    blobs = open_blobs(str(tmp_path / "blobs"))
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left on device"):
        blobs.put("a/1", b"x")
    assert [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == []


def test_a_blob_just_written_is_not_old_whatever_this_machine_s_clock_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = FolderBlobs(tmp_path)
    blobs.put("p/new.part", b"its receipt is still to come")
    blobs.put("p/old.part", b"left by a crash")
    os.utime(tmp_path / "p/old.part", (0, 0))
    told = time.time
    monkeypatch.setattr(time, "time", lambda: told() + 7200)
    assert [*blobs.older_than(3600)] == ["p/old.part"]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["new.part", "old.part", "p"]


def test_blobs_that_go_while_all_are_looked_through_are_passed_over(tmp_path: Path) -> None:
    blobs = FolderBlobs(tmp_path)
    keys = {f"{folder}/{name}.part" for folder in "pq" for name in "abc"}
    for key in keys:
        blobs.put(key, b"")
    found = blobs.older_than(-60)
    first = next(found)
    for key in keys:
        blobs.delete(key)
    assert first in keys
    assert list(found) == []


@pytest.mark.parametrize(("number", "waits"), [(errno.ESTALE, True), (errno.EIO, False)])
def test_a_folder_that_cannot_be_read_is_waited_for_and_a_broken_file_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, waits: bool
) -> None:
    def broken(_path: Path) -> bytes:
        raise OSError(number, os.strerror(number))

    blobs = open_blobs(str(tmp_path))
    blobs.put("a/1", b"x")
    monkeypatch.setattr(Path, "read_bytes", broken)
    with pytest.raises(StorageError if waits else OSError, match=os.strerror(number)) as raised:
        blobs.get("a/1")
    assert getattr(raised.value, "retry_after_seconds", None) == (30 if waits else None)
