"""Blobs beside the database: bytes under a key, durable before ``put`` returns."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from stat import S_ISREG
from typing import Any, BinaryIO, Final, Protocol
from uuid import uuid4

import fsspec

from bifurk_service.errors import StorageError

RETRY_SECONDS: Final = 30
FOLDER_TRIES: Final = 10
PASSING: Final = frozenset(
    getattr(errno, name)
    for name in (
        "EACCES", "EAGAIN", "EHOSTDOWN", "EHOSTUNREACH", "EINTR", "EMFILE", "ENETDOWN",
        "ENETUNREACH", "ENFILE", "ENOMEM", "ENOTCONN", "EPERM", "ESTALE", "ETIMEDOUT",
    )
    if hasattr(errno, name)
)  # fmt: skip
"""Why a file may not be readable now and be so later, or once somebody has seen to it."""
BUCKETS: Final = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "oci"})
"""Protocols whose first path element is a bucket, which is made by people."""


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
            StorageError: none can be read now.
        """
        ...

    def delete(self, key: str) -> None:
        """Removes a blob; one that is not there is no error.

        Raises:
            StorageError: nothing can be deleted now.
        """
        ...

    def older_than(self, seconds: float) -> Iterator[str]:
        """Keys of blobs written longer ago than this, unfinished ones among them.

        A folder after the other, in no certain order; what comes or goes meanwhile may be told of.

        Raises:
            StorageError: they cannot be listed now.
        """
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
            with _opened_in_folder(aside) as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(target)
            _fsync_folder(target.parent)
        except OSError as error:
            aside.unlink(missing_ok=True)
            raise StorageError(
                f"the blob could not be written: {error.strerror or error}",
                retry_after_seconds=RETRY_SECONDS,
            ) from error

    def get(self, key: str) -> bytes:
        """See ``BlobStore.get``."""
        try:
            return (self._root / PurePosixPath(key)).read_bytes()
        except OSError as error:
            if error.errno not in PASSING:
                raise
            raise StorageError(
                f"the blob could not be read: {error.strerror}", retry_after_seconds=RETRY_SECONDS
            ) from error

    def delete(self, key: str) -> None:
        """See ``BlobStore.delete``; folders left empty go too."""
        target = self._root / PurePosixPath(key)
        try:
            target.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(
                f"the blob {key} could not be deleted: {error.strerror}",
                retry_after_seconds=RETRY_SECONDS,
            ) from error
        for folder in target.parents:
            if folder == self._root or not folder.is_relative_to(self._root):
                return
            try:
                folder.rmdir()
            except OSError:
                return

    def older_than(self, seconds: float) -> Iterator[str]:
        """See ``BlobStore.older_than``; by the clock that the folder's files are dated with."""
        limit = _time_of(self._root) - seconds if self._root.is_dir() else 0.0
        folders = [self._root]
        while folders:
            for entry in _entries(folders.pop()):
                path = Path(entry.path)
                if entry.is_dir(follow_symlinks=False):
                    folders.append(path)
                elif _written_before(path, limit):
                    yield path.relative_to(self._root).as_posix()


class RemoteBlobs:
    """Any fsspec filesystem whose writes are whole and durable once acknowledged.

    Raises:
        StorageError: the package that speaks to it is not installed, or the URL says too little.
    """

    def __init__(self, url: str) -> None:
        with _translated("the blobs cannot be opened"):
            self._filesystem, self._root = fsspec.core.url_to_fs(url)
        self.url = url

    def put(self, key: str, data: bytes) -> None:
        """See ``BlobStore.put``."""
        with _translated("the blob could not be written", gone=False):
            if not self._in_bucket:
                folder = f"{self._root}/{PurePosixPath(key).parent}"
                self._filesystem.makedirs(folder, exist_ok=True)
            self._filesystem.pipe_file(f"{self._root}/{key}", data)

    def get(self, key: str) -> bytes:
        """See ``BlobStore.get``."""
        with _translated("the blob could not be read"):
            try:
                return bytes(self._filesystem.cat_file(f"{self._root}/{key}"))
            except FileNotFoundError:
                self._check_bucket()
                raise

    def delete(self, key: str) -> None:
        """See ``BlobStore.delete``."""
        with _translated("the blob could not be deleted"), suppress(FileNotFoundError):
            self._filesystem.rm_file(f"{self._root}/{key}")

    def older_than(self, seconds: float) -> Iterator[str]:
        """See ``BlobStore.older_than``; none where the filesystem does not tell times."""
        limit = datetime.now(UTC).timestamp() - seconds
        folders = [self._root]
        while folders:
            folder = folders.pop()
            for entry in self._listed(folder):
                path, written = entry["name"].rstrip("/"), entry.get("LastModified")
                if entry["type"] == "directory" and path != folder:
                    folders.append(path)
                elif isinstance(written, datetime) and written.timestamp() < limit:
                    yield path.removeprefix(f"{self._root}/")

    def _listed(self, folder: str) -> list[dict[str, Any]]:
        """What is in a folder now; nothing of it stays in the filesystem's own memory."""
        with _translated("the blobs could not be listed", gone=False):
            self._filesystem.invalidate_cache()
            try:
                return list(self._filesystem.ls(folder, detail=True))
            except FileNotFoundError:
                self._check_bucket()
                return []
            finally:
                self._filesystem.invalidate_cache()

    @property
    def _in_bucket(self) -> bool:
        """Keys of a bucket need no folders, and asked for one, s3fs would make the bucket."""
        return not BUCKETS.isdisjoint(_protocols(self._filesystem))

    def _check_bucket(self) -> None:
        bucket = self._root.split("/", 1)[0]
        if self._in_bucket and not self._filesystem.exists(bucket):
            raise OSError(f"there is no bucket {bucket}")


def _protocols(filesystem: fsspec.AbstractFileSystem) -> tuple[str, ...]:
    protocol = filesystem.protocol
    return (protocol,) if isinstance(protocol, str) else tuple(protocol)


@contextmanager
def _translated(what: str, *, gone: bool = True) -> Iterator[None]:
    """Each filesystem has errors of its own, of which few are ``OSError``.

    Args:
        gone: whether a file that is not there is for the caller to hear of.
    """
    try:
        yield
    except Exception as error:
        if gone and isinstance(error, FileNotFoundError):
            raise
        raise StorageError(f"{what}: {error}", retry_after_seconds=RETRY_SECONDS) from error


def _time_of(folder: Path) -> float:
    """Now, as a file written now is dated: a file server's clock may be another than this one's."""
    probe = folder / f".{uuid4().hex}"
    try:
        probe.touch()
        return probe.stat().st_mtime
    except OSError:
        return 0.0
    finally:
        probe.unlink(missing_ok=True)


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """What is in a folder, as it is read; nothing of one that is gone."""
    with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        yield from entries


def _written_before(path: Path, limit: float) -> bool:
    """Of a file; one that is gone meanwhile is none."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return False
    return S_ISREG(status.st_mode) and status.st_mtime < limit


def _opened_in_folder(path: Path) -> BinaryIO:
    """For writing; its folder, which goes with the last blob in it, may be going just now."""
    for _ in range(FOLDER_TRIES - 1):
        with suppress(FileNotFoundError, FileExistsError):
            path.parent.mkdir(parents=True, exist_ok=True)
            return path.open("wb")
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("wb")


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
