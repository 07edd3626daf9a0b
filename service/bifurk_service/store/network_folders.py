"""Folders on a network, where SQLite loses data."""

from __future__ import annotations

from pathlib import Path
from typing import Final

NETWORK_FILESYSTEMS: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "fuse.sshfs", "9p", "lustre", "beegfs", "ceph", "gpfs"}
)
"""SQLite's write-ahead log needs shared memory between its readers, which these do not give."""


def network_filesystem(path: Path) -> str | None:
    """The kind of network filesystem a path lies on, or None (also where it cannot be told)."""
    mounts = Path("/proc/self/mounts")
    if not mounts.exists():
        return None
    resolved = path.absolute().resolve()
    best, kind = Path("/"), ""
    for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines():
        _, mount_point, filesystem, *_ = line.split(" ")
        mount = Path(mount_point.replace("\\040", " "))
        if resolved.is_relative_to(mount) and len(mount.parts) >= len(best.parts):
            best, kind = mount, filesystem
    return kind if kind in NETWORK_FILESYSTEMS else None
