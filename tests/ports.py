"""Ports of loopback that stay a test's own, for what has to be told its port before it starts."""

from __future__ import annotations

import socket
from typing import Final

_HELD: Final[list[socket.socket]] = []


def own_port() -> int:
    """A port that nobody listens on, and that nobody else is given while this process lives.

    Its socket stays bound and does not listen: connections are refused, the system gives the port
    to nobody who asks for any, and a server that is told to take it can, again and again, since
    all of them allow their address to be reused.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    _HELD.append(holder)
    port: int = holder.getsockname()[1]
    return port
