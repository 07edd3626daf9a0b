"""A network between the clients and a real server that does to some requests what networks do."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections import Counter
from contextlib import suppress
from typing import Final

import urllib3

from tests.faults import gateway as faults
from tests.faults.gateway import Fault, Gateway, Handler

LONGEST_DELAY_SECONDS: Final = 0.4
LATE_SECONDS: Final = 0.6
"""How much later a duplicate comes that nobody expects any more."""


class Network(Gateway):
    """Passes on most requests; does something else to some, drawn from a seed.

    Args:
        backend: url of the real server. seed: of the draws. chance: of a fault, a request.
    """

    def __init__(self, *, backend: str, seed: int, chance: float) -> None:
        self._random = random.Random(seed)
        self._chance = chance
        self._drawing = threading.Lock()
        self._cut = threading.Event()
        self.done: Counter[str] = Counter()
        super().__init__(self._some_fault, backend=backend)

    def cut(self, seconds: float) -> None:
        """Lets nothing through for a while, and hangs up what is under way."""
        self._cut.set()
        self.hang_up()
        time.sleep(seconds)
        self._cut.clear()

    def _some_fault(self, handler: Handler) -> None:
        with self._drawing:
            struck = self._random.random() < self._chance
            name = self._random.choice(sorted(FAULTS)) if struck else "sound"
            self.done[name] += 1
        if self._cut.is_set():
            handler.close_connection = True
        elif struck:
            FAULTS[name](handler)
        else:
            handler.pass_on()


def drops(handler: Handler) -> None:
    """Hangs up before anything is read."""
    handler.close_connection = True


def delays(handler: Handler) -> None:
    """Holds a request for a while, then passes it on."""
    time.sleep(random.Random(handler.path).uniform(0.0, LONGEST_DELAY_SECONDS))
    handler.pass_on()


def loses_the_answer(handler: Handler) -> None:
    """Passes on, and hangs up where the answer should come: stored, and the client cannot know."""
    handler.forward(handler.read_body())
    handler.close_connection = True


def garbles_the_answer(handler: Handler) -> None:
    """Passes on, and answers what is no HTTP."""
    handler.forward(handler.read_body())
    handler.wfile.write(b"\x16\x03\x01\x02\x00 this is no HTTP\r\n\r\n")
    handler.close_connection = True


def closes_one_half(handler: Handler) -> None:
    """Passes on, then says that it will say nothing, and goes on listening."""
    handler.forward(handler.read_body())
    handler.connection.shutdown(socket.SHUT_WR)
    handler.close_connection = True


def truncates(handler: Handler) -> None:
    """Sends the server the first half of the body and hangs up on both."""
    body = handler.read_body()
    handler.forward_cut(body, len(body) // 2)
    handler.close_connection = True


def shortens(handler: Handler) -> None:
    """Passes on the first half of the body as if it were all, as a broken proxy does."""
    body = handler.read_body()
    handler.reply(*handler.forward(body[: len(body) // 2]))


def duplicates(handler: Handler) -> None:
    """Passes the same request on twice at once, and one of the answers back."""
    body = handler.read_body()
    twin = threading.Thread(target=_forward_unheard, args=(handler, body), daemon=True)
    twin.start()
    handler.reply(*handler.forward(body))
    twin.join()


def repeats_late(handler: Handler) -> None:
    """Passes on, and does so again when the training has gone on."""
    body = handler.read_body()
    handler.reply(*handler.forward(body))
    later = threading.Timer(LATE_SECONDS, _forward_unheard, args=(handler, body))
    later.daemon = True
    later.start()


def _forward_unheard(handler: Handler, body: bytes) -> None:
    with suppress(urllib3.exceptions.HTTPError):
        handler.forward(body)


FAULTS: Final[dict[str, Fault]] = {
    "drops": drops,
    "delays": delays,
    "cuts the request": faults.cuts_the_request,
    "cuts the answer": faults.cuts_the_answer,
    "loses the answer": loses_the_answer,
    "garbles the answer": garbles_the_answer,
    "closes one half": closes_one_half,
    "truncates": truncates,
    "shortens": shortens,
    "duplicates": duplicates,
    "repeats late": repeats_late,
    "answers 502": faults.answers(502),
}
