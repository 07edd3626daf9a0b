"""Blobs beside the database: bytes under a key, durable before ``put`` returns."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Protocol
from uuid import uuid4

import fsspec

from bifurk_service.errors import StorageError


class BlobStore(Protocol):
    """Where blobs lie; ``open_blobs(url)`` gives the same. Keys are relative paths of slugs."""

    url: str

    def put(self, key: str, data: bytes) -> None:
        """Stores a blob; when it returns, the bytes survive a power cut.

        Raises:
            StorageError: they do not; nothing is left under the key.
        """
        ...

    def get(self, key: str) -> bytes:
        """The blob's bytes.

        Raises:
            FileNotFoundError: there is none under this key.
        """
        ...

    def delete(self, key: str) -> None:
        """Removes a blob; one that is not there is no error."""
        ...

    def older_than(self, seconds: float) -> list[str]:
        """Keys of blobs written longer ago than this, unfinished ones among them."""
        ...


def open_blobs(url: str) -> BlobStore:
    """The blob store at a path or fsspec URL (``s3://bucket/prefix``, ``memory://...``)."""
    if "://" in url and not url.startswith("file://"):
        return RemoteBlobs(url)
    return FolderBlobs(Path(url.removeprefix("file://")))


class FolderBlobs:
    """A folder: written aside, fsynced, renamed, and the folder fsynced."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.url = str(root)

    def put(self, key: str, data: bytes) -> None:
        """See ``BlobStore.put``."""
        target = self._root / PurePosixPath(key)
        aside = target.with_name(f".{uuid4().hex}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with aside.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(target)
            _fsync_folder(target.parent)
        except OSError as error:
            aside.unlink(missing_ok=True)
            raise StorageError(
                f"the blob could not be written: {error.strerror or error}", retry_after_seconds=30
            ) from error

    def get(self, key: str) -> bytes:
        """See ``BlobStore.get``."""
        return (self._root / PurePosixPath(key)).read_bytes()

    def delete(self, key: str) -> None:
        """See ``BlobStore.delete``; folders left empty go too."""
        target = self._root / PurePosixPath(key)
        target.unlink(missing_ok=True)
        for folder in target.parents:
            if folder == self._root or not folder.is_relative_to(self._root):
                return
            try:
                folder.rmdir()
            except OSError:
                return

    def older_than(self, seconds: float) -> list[str]:
        """See ``BlobStore.older_than``."""
        limit = time.time() - seconds
        return [
            path.relative_to(self._root).as_posix()
            for path in self._root.rglob("*")
            if path.is_file() and path.stat().st_mtime < limit
        ]


class RemoteBlobs:
    """Any fsspec filesystem whose writes are whole and durable once acknowledged."""

    def __init__(self, url: str) -> None:
        self._filesystem, self._root = fsspec.core.url_to_fs(url)
        self.url = url

    def put(self, key: str, data: bytes) -> None:
        """See ``BlobStore.put``."""
        try:
            self._filesystem.makedirs(f"{self._root}/{PurePosixPath(key).parent}", exist_ok=True)
            self._filesystem.pipe_file(f"{self._root}/{key}", data)
        except OSError as error:
            raise StorageError(
                f"the blob could not be written: {error}", retry_after_seconds=30
            ) from error

    def get(self, key: str) -> bytes:
        """See ``BlobStore.get``."""
        return bytes(self._filesystem.cat_file(f"{self._root}/{key}"))

    def delete(self, key: str) -> None:
        """See ``BlobStore.delete``."""
        try:
            self._filesystem.rm_file(f"{self._root}/{key}")
        except FileNotFoundError:
            return

    def older_than(self, seconds: float) -> list[str]:
        """See ``BlobStore.older_than``; empty where the filesystem does not tell times."""
        limit = datetime.now(UTC).timestamp() - seconds
        found = self._filesystem.find(self._root, detail=True)
        times = {path: entry.get("LastModified") for path, entry in found.items()}
        return [
            path.removeprefix(f"{self._root}/")
            for path, written in times.items()
            if isinstance(written, datetime) and written.timestamp() < limit
        ]


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
