"""The form of an archive, version 1: a zip of members that are stored as they are.

``manifest.json`` says what it is, ``rows/TABLE/N.jsonl.zst`` hold rows in the order in which they
refer to each other, ``blobs/N`` the parts, and ``index.json`` comes last, with the size and SHA-256
of every other member in their order.
"""

from __future__ import annotations

import re
from typing import Final

FORMAT: Final = "bifurk run"
VERSION: Final = 1
SUFFIX: Final = ".bifurk"
MANIFEST, INDEX = "manifest.json", "index.json"
MEMBER: Final = re.compile(
    r"manifest\.json|index\.json|rows/[a-z_]{1,40}/\d{6}\.jsonl\.zst|blobs/\d{9}"
)
MOST_CHUNK_BYTES: Final = 64 << 20
"""Of rows once unpacked, and of the two documents."""
MOST_BLOB_BYTES: Final = 1 << 30
