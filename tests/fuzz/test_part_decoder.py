"""Twenty thousand broken parts: the decoder says why or reads, and allocates within bounds."""

from __future__ import annotations

import contextlib
import random
import tracemalloc
from collections import Counter

from bifurk.wire import WireError, WireLimits, decode, encode_plain
from tests.fuzz.mutations import WAYS, mutated, seeds, squeezed
from tests.wire.forge import assert_same_part

INPUTS = 20_000
LIMITS = WireLimits(decoded_bytes=1 << 20, header_bytes=1 << 16, json_values=5_000, tensors=100)
MOST_BYTES = 4 * LIMITS.decoded_bytes + 100 * LIMITS.json_values
"""What ``WireLimits`` promises."""


def test_whatever_is_broken_is_read_or_refused_with_a_reason() -> None:
    rng = random.Random(20_261_126)
    whole = seeds()
    outcomes: Counter[str] = Counter()
    for number in range(INPUTS):
        body = mutated(rng.choice(whole), rng)
        encoding = "identity"
        if number % 8 == 0:
            body, encoding = squeezed(body), "zstd"
        try:
            part = decode(body, encoding=encoding, limits=LIMITS)
        except WireError as error:
            outcomes[_place(error)] += 1
        else:
            outcomes["read"] += 1
            if number % 16 == 0:
                again = decode(encode_plain(part), encoding="identity", limits=LIMITS)
                assert_same_part(again, part)
    assert outcomes["read"] > INPUTS / 100, "some changes leave a part a part"
    assert outcomes["safetensors"] < INPUTS / 2, "most come past the container"
    assert len(outcomes) > 20, outcomes


def test_no_broken_part_takes_more_memory_than_the_limits_promise() -> None:
    rng = random.Random(7)
    whole = seeds()
    tracemalloc.start()
    try:
        for _ in range(20 * len(WAYS)):
            body = mutated(rng.choice(whole), rng)
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            with contextlib.suppress(WireError):
                decode(body, encoding="identity", limits=LIMITS)
            _, peak = tracemalloc.get_traced_memory()
            assert peak - before < MOST_BYTES
    finally:
        tracemalloc.stop()


def test_every_part_that_was_cut_is_refused() -> None:
    for whole in seeds()[:3]:
        for length in range(len(whole)):
            try:
                decode(whole[:length], encoding="identity")
            except WireError:
                continue
            raise AssertionError(f"the first {length} of {len(whole)} bytes were read as a part")


def _place(error: WireError) -> str:
    """What an error speaks of, without numbers and names."""
    assert error.where
    assert error.problem
    return error.where.partition("[")[0].partition(" ")[0]
