"""Parts that are made once, by the client's own code, and sent again under other names and steps.

Between two snapshots every weight moves a little, at random about where it began: enough for motion
to be measured, and nothing that a detector would have to tell of.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import zstandard
from numpy.typing import NDArray

from bifurk.exact import Exact
from bifurk.sketch import SAMPLE_SIZE, SMALL_TENSOR_ELEMENTS, sketch
from bifurk.wire import Manifest, Part, TensorPart, content_digest
from bifurk.wire.encode import COMPRESSION_LEVEL, encode_plain
from bifurk.wire.part import ScalarSummary

EVERY: Final = 10
"""Steps between two snapshots."""
VARIANTS: Final = 4
"""Different states of the weights, sent in turn."""
DISTINCT: Final = 40
"""Tensors whose counts and full values differ; beyond that many they repeat. Samples never do."""
MOST_LAYERS: Final = 64
PROJECT: Final = "load"
MARK: Final = "@{}@"
ROLES: Final = ("attention.query", "attention.key", "mlp.up", "mlp.down")


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one snapshot of a run is like.

    Attributes:
        tensors: how many. shape: of each matrix; above 16,384 elements it travels as counts and a
            sample, else exactly. full: whether full values come along. ranks: parts it is sent in.
    """

    tensors: int
    shape: tuple[int, int] = (64, 64)
    full: bool = False
    ranks: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamped:
    """One request: its path, body and headers."""

    path: str
    body: bytes
    headers: dict[str, str]


class Stamp:
    """Makes the requests of any run out of a few encoded parts.

    Args:
        load: what they carry.
    """

    def __init__(self, load: Load) -> None:
        self.load = load
        self._own = threading.local()
        self._order = np.random.default_rng(7).permutation(VARIANTS * 64) % VARIANTS
        self._plain = [
            [_split(encode_plain(_part(load, variant, rank))) for rank in range(load.ranks)]
            for variant in range(VARIANTS)
        ]

    def requests(self, run: str, sequence: int) -> list[Stamped]:
        """The parts of one snapshot, a request a rank."""
        variant = self._plain[self._order[sequence % len(self._order)]]
        return [self._request(run, sequence, rank, *plain) for rank, plain in enumerate(variant)]

    def _request(
        self, run: str, sequence: int, rank: int, pieces: list[str], data: bytes
    ) -> Stamped:
        step = EVERY * sequence
        said = (run, str(step), str(sequence), str(step - EVERY) if sequence else "null")
        text = pieces[0] + "".join(a + b for a, b in zip(said, pieces[1:], strict=True))
        header = text.encode()
        body = self._compressor().compress(len(header).to_bytes(8, "little") + header + data)
        return Stamped(
            path=f"/api/v1/projects/{PROJECT}/runs/{run}/attempts/first/snapshots/{step}/parts/{rank}",
            body=body,
            headers={"Content-Encoding": "zstd", "Content-Digest": content_digest(body)},
        )

    def _compressor(self) -> zstandard.ZstdCompressor:
        """One a thread: it keeps its tables from one body to the next, and shares them badly."""
        if not hasattr(self._own, "compressor"):
            self._own.compressor = zstandard.ZstdCompressor(level=COMPRESSION_LEVEL)
        return self._own.compressor


def _split(plain: bytes) -> tuple[list[str], bytes]:
    """The header's text between what is stamped, in the order run, step, sequence, previous."""
    length = int.from_bytes(plain[:8], "little")
    header = json.loads(plain[8 : 8 + length])
    manifest = json.loads(header["__metadata__"]["manifest"])
    manifest |= {"run": MARK.format(0), "step": MARK.format(1), "sequence": MARK.format(2),
                 "previous_step": MARK.format(3)}  # fmt: skip
    text = json.dumps(manifest)
    for number in (1, 2, 3):
        text = text.replace(f'"{MARK.format(number)}"', MARK.format(number))
    header["__metadata__"]["manifest"] = text
    rest, pieces = json.dumps(header), []
    order = sorted(range(4), key=lambda number: rest.index(MARK.format(number)))
    if order != [0, 1, 2, 3]:
        raise ValueError(f"the manifest tells run, step, sequence, previous_step as {order}")
    for number in order:
        piece, rest = rest.split(MARK.format(number))
        pieces.append(piece)
    return [*pieces, rest], plain[8 + length :]


def _part(load: Load, variant: int, rank: int) -> Part:
    per_rank = -(-load.tensors // load.ranks)
    places = range(rank * per_rank, min(load.tensors, (rank + 1) * per_rank))
    distinct = [_tensor(load, variant, one) for one in range(min(DISTINCT, load.tensors))]
    return Part(
        manifest=Manifest(
            project=PROJECT, run="run", attempt="first", step=EVERY, sequence=1, previous_step=0,
            rank=rank, expected_parts=load.ranks, learning_rates=(1e-3,),
            scalars={} if rank else {"loss": ScalarSummary(last=2.0, mean=2.0, min=2.0, max=2.0,
                                                           count=EVERY)},
        ),
        tensors=tuple(_named(load, distinct[place % len(distinct)], variant, place)
                      for place in places),
    )  # fmt: skip


def _named(load: Load, tensor: TensorPart, variant: int, place: int) -> TensorPart:
    per_layer = max(len(ROLES), -(-load.tensors // MOST_LAYERS))
    layer, within = divmod(place, per_layer)
    role = ROLES[within % len(ROLES)]
    name = f"blocks.{layer}.{within // len(ROLES)}.{role}.weight"
    sample = None if tensor.sample is None else _sample(variant, place)
    return replace(tensor, name=name, layer=layer, role=role, sample=sample)


def _sample(variant: int, place: int) -> Exact:
    return Exact(dtype="bfloat16", data=_bits(_drifting(place, variant, (SAMPLE_SIZE,))))


def _drifting(place: int, variant: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    still = np.random.default_rng([place, 0]).standard_normal(shape, dtype=np.float32)
    moved = np.random.default_rng([place, 1 + variant]).standard_normal(shape, dtype=np.float32)
    return np.float32(0.02) * (still + np.float32(0.01) * moved)


def _bits(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    return (values.view(np.uint32) >> np.uint32(16)).astype(np.uint16)


def _tensor(load: Load, variant: int, place: int) -> TensorPart:
    values = _drifting(place, variant, load.shape)
    bits = _bits(values)
    described = TensorPart(name="", shape=load.shape, dtype="bfloat16")
    if values.size <= SMALL_TENSOR_ELEMENTS:
        return replace(described, values=Exact(dtype="bfloat16", data=bits.ravel()))
    rounded = (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return replace(
        described,
        counts=sketch(rounded),
        sample=_sample(variant, place),
        full=Exact(dtype="bfloat16", data=bits) if load.full else None,
    )
