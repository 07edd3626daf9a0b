"""Bytes to parts, trusting nothing.

Every length is checked against the limits before anything of that size is allocated, and
every error says where in the part it is, what was expected and what came.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TypeVar

import numpy as np
import zstandard
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from bifurk.exact import STORAGE, Exact
from bifurk.sketch import KEYS, SAMPLE_SIZE, SMALL_TENSOR_ELEMENTS, Sketch, key_format, key_values
from bifurk.wire.encode import COUNT_KEY_DELTAS, COUNT_NONFINITE, COUNT_OFFSETS, COUNT_PLANES
from bifurk.wire.part import (
    MAX_NAME_CHARACTERS,
    WIRE_VERSION,
    LossReport,
    Manifest,
    Mark,
    Part,
    Placement,
    ScalarSummary,
    TensorPart,
)

MAX_DIMENSIONS: Final = 16
MAX_ELEMENTS: Final = 1 << 46
"""Of one tensor: far beyond any model, and 2^16 counts of this size still add up within int64."""
MAX_MARKS: Final = 10_000
MAX_SCALARS: Final = 1_000
MAX_LOST_RANGES: Final = 100_000
HEADER_LENGTH_BYTES: Final = 8

Array = NDArray[Any]
T = TypeVar("T")


class WireError(ValueError):
    """A part that cannot be read: where in it, and what is wrong there."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"{where}: {problem}")
        self.where = where
        self.problem = problem


class PartTooLarge(WireError):
    """A part beyond the reader's limits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WireLimits:
    """What a reader is willing to unpack; beyond it ``PartTooLarge`` is raised early."""

    decoded_bytes: int = 512 << 20
    header_bytes: int = 64 << 20
    tensors: int = 20_000


def decode(body: bytes, *, encoding: str = "zstd", limits: WireLimits | None = None) -> Part:
    """Reads one part.

    Args:
        body: the bytes as sent. encoding: ``zstd`` or ``identity``.
        limits: what to refuse; the defaults suit a server.

    Raises:
        PartTooLarge: it would unpack to more than the limits allow.
        WireError: anything else is wrong with it.
    """
    limits = limits or WireLimits()
    plain = _decompress(body, limits.decoded_bytes) if encoding == "zstd" else body
    if len(plain) > limits.decoded_bytes:
        raise PartTooLarge("body", f"at most {limits.decoded_bytes} bytes, got {len(plain)}")
    document = _manifest_document(plain, limits)
    try:
        arrays = load(plain)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise WireError("safetensors", str(error)) from None
    manifest = _manifest(document)
    return Part(manifest=manifest, tensors=_tensors(document, arrays, limits))


def _decompress(body: bytes, limit: int) -> bytes:
    try:
        reader = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(body)
        plain = reader.read(limit + 1)
        if len(plain) > limit:
            raise PartTooLarge("body", f"at most {limit} bytes when unpacked")
        declared = zstandard.frame_content_size(body)
    except zstandard.ZstdError as error:
        raise WireError("body", f"not a whole zstd frame ({error})") from None
    if declared >= 0 and declared != len(plain):
        raise WireError("body", f"truncated: {declared} bytes announced, {len(plain)} came")
    return plain


def _manifest_document(plain: bytes, limits: WireLimits) -> dict[str, Any]:
    """The manifest as JSON; read before any array so that its size can be judged first."""
    length = int.from_bytes(plain[:HEADER_LENGTH_BYTES], "little")
    if len(plain) < HEADER_LENGTH_BYTES or length > len(plain) - HEADER_LENGTH_BYTES:
        raise WireError("safetensors", "truncated header")
    if length > limits.header_bytes:
        raise PartTooLarge(
            "safetensors", f"header of at most {limits.header_bytes} bytes, got {length}"
        )
    header = _json(plain[HEADER_LENGTH_BYTES : HEADER_LENGTH_BYTES + length], "safetensors header")
    metadata = header.get("__metadata__")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("manifest"), str):
        raise WireError("safetensors header", "no `manifest` in `__metadata__`")
    return _json(metadata["manifest"], "manifest")


def _json(text: str | bytes, where: str) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) != len(pairs):
            raise WireError(where, "an object names the same key twice")
        return result

    try:
        document = json.loads(text, object_pairs_hook=unique)
    except WireError:
        raise
    except (ValueError, RecursionError) as error:
        raise WireError(where, f"not JSON ({error})") from None
    if not isinstance(document, dict):
        raise WireError(where, f"expected an object, got {type(document).__name__}")
    return document


class _Fields:
    """Typed reads from one JSON object, each error naming the field."""

    def __init__(self, document: Any, where: str) -> None:
        if not isinstance(document, dict):
            raise WireError(where, f"expected an object, got {_shown(document)}")
        self._document = document
        self.where = where

    def fail(self, name: str, expected: str) -> NoReturn:
        raise WireError(
            f"{self.where}.{name}", f"expected {expected}, got {_shown(self._document.get(name))}"
        )

    def text(
        self, name: str, default: str | None = None, *, limit: int = MAX_NAME_CHARACTERS
    ) -> str:
        value = self._document.get(name, default)
        if not isinstance(value, str) or len(value) > limit:
            self.fail(name, f"text of at most {limit} characters")
        if not value.isprintable():
            self.fail(name, "printable text")
        return value

    def integer(self, name: str, default: int | None = None, *, least: int = 0) -> int:
        value = self._document.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 1 << 62:
            self.fail(name, f"a whole number of at least {least}")
        return value

    def optional_integer(self, name: str) -> int | None:
        return None if self._document.get(name) is None else self.integer(name)

    def number(self, name: str, default: float | None = None) -> float:
        value = self._document.get(name, default)
        if not isinstance(value, int | float) or isinstance(value, bool):
            self.fail(name, "a number")
        try:
            return float(value)
        except OverflowError:
            self.fail(name, "a number within float64")

    def flag(self, name: str) -> bool:
        value = self._document.get(name, False)
        if not isinstance(value, bool):
            self.fail(name, "true or false")
        return value

    def items(self, name: str, limit: int) -> list[Any]:
        value = self._document.get(name, [])
        if not isinstance(value, list):
            self.fail(name, "a list")
        if len(value) > limit:
            raise PartTooLarge(f"{self.where}.{name}", f"at most {limit} entries, got {len(value)}")
        return value

    def mapping(self, name: str, limit: int = MAX_SCALARS) -> dict[str, Any]:
        value = self._document.get(name, {})
        if not isinstance(value, dict) or len(value) > limit:
            self.fail(name, f"an object of at most {limit} entries")
        if any(len(key) > MAX_NAME_CHARACTERS or not key.isprintable() for key in value):
            self.fail(name, f"printable keys of at most {MAX_NAME_CHARACTERS} characters")
        return value

    def details(self, name: str) -> dict[str, str | float | int | bool | None]:
        value = self.mapping(name)
        for key, detail in value.items():
            if not isinstance(detail, str | float | int | bool | None):
                raise WireError(
                    f"{self.where}.{name}.{key}",
                    f"expected text, number, true, false or null, got {_shown(detail)}",
                )
        return value

    def integers(self, name: str, *, least: int, limit: int) -> tuple[int, ...]:
        values = self.items(name, limit)
        for value in values:
            if (
                not isinstance(value, int)
                or isinstance(value, bool)
                or not least <= value <= MAX_ELEMENTS
            ):
                self.fail(name, f"whole numbers from {least} to {MAX_ELEMENTS}")
        return tuple(values)


def _shown(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _manifest(document: dict[str, Any]) -> Manifest:
    f = _Fields(document, "manifest")
    version = f.text("wire_version")
    _check_version(version)
    display_name = document.get("display_name")
    expected_parts = f.integer("expected_parts", 1, least=1)
    rank = f.integer("rank", 0)
    if rank >= expected_parts:
        f.fail("rank", f"a rank below expected_parts = {expected_parts}")
    learning_rates = [
        _Fields({"rate": rate}, "manifest.learning_rates").number("rate")
        for rate in f.items("learning_rates", MAX_SCALARS)
    ]
    return Manifest(
        project=f.text("project"),
        run=f.text("run"),
        attempt=f.text("attempt"),
        step=f.integer("step"),
        sequence=f.integer("sequence"),
        previous_step=f.optional_integer("previous_step"),
        off_grid=f.flag("off_grid"),
        rank=rank,
        expected_parts=expected_parts,
        wall_clock_seconds=f.number("wall_clock_seconds", 0.0),
        display_name=None if display_name is None else f.text("display_name"),
        optimizer=f.text("optimizer", ""),
        optimizer_settings=f.details("optimizer_settings"),
        learning_rates=tuple(learning_rates),
        scalars={name: _scalar(value, name) for name, value in f.mapping("scalars").items()},
        marks=tuple(
            read_mark(mark, f"manifest.marks[{i}]")
            for i, mark in enumerate(f.items("marks", MAX_MARKS))
        ),
        loss_report=read_loss_report(document.get("loss_report", {}), "manifest.loss_report"),
        client={key: str(value) for key, value in f.mapping("client").items()},
        wire_version=version,
    )


def _check_version(version: str) -> None:
    own_major, own_minor = (int(number) for number in WIRE_VERSION.split("."))
    try:
        major, minor = (int(number) for number in version.split("."))
    except ValueError:
        raise WireError("manifest.wire_version", f"expected major.minor, got {version!r}") from None
    if major != own_major or minor < own_minor - 2:
        raise WireError(
            "manifest.wire_version",
            f"this server reads {own_major}.{max(0, own_minor - 2)} and later minors, got {version}",
        )


def _scalar(document: Any, name: str) -> ScalarSummary:
    f = _Fields(document, f"manifest.scalars.{name}")
    return ScalarSummary(
        last=f.number("last"),
        mean=f.number("mean"),
        min=f.number("min"),
        max=f.number("max"),
        count=f.integer("count", least=1),
    )


def read_mark(document: Any, where: str) -> Mark:
    """One mark from its JSON."""
    f = _Fields(document, where)
    return Mark(kind=f.text("kind", limit=64), step=f.integer("step"), details=f.details("details"))


def read_loss_report(document: Any, where: str) -> LossReport:
    """A loss report from its JSON."""
    f = _Fields(document, where)
    dropped = f.mapping("dropped")
    counts = _Fields(dropped, f"{where}.dropped")
    ranges = []
    for index, pair in enumerate(f.items("lost_sequences", MAX_LOST_RANGES)):
        first, last = _Fields({"range": pair}, f"{where}.lost_sequences[{index}]").integers(
            "range", least=0, limit=2
        ) or (1, 0)
        if last < first:
            raise WireError(
                f"{where}.lost_sequences[{index}]", f"expected [first, last], got {_shown(pair)}"
            )
        ranges.append((first, last))
    overhead = None if document.get("overhead_ratio") is None else f.number("overhead_ratio")
    return LossReport(
        dropped={reason: counts.integer(reason) for reason in dropped},
        lost_sequences=tuple(ranges),
        overhead_ratio=overhead,
    )


def _tensors(
    document: dict[str, Any], arrays: dict[str, Array], limits: WireLimits
) -> tuple[TensorPart, ...]:
    entries = _Fields(document, "manifest").items("tensors", limits.tensors)
    reader = _Payloads(arrays, sum("counts" in _carries(e) for e in entries))
    tensors = tuple(_tensor(entry, index, reader) for index, entry in enumerate(entries))
    reader.finish()
    seen: set[str] = set()
    for index, tensor in enumerate(tensors):
        if tensor.name in seen:
            raise WireError(
                f"manifest.tensors[{index}].name", f"{_shown(tensor.name)} is named twice"
            )
        seen.add(tensor.name)
    return tensors


def _carries(entry: Any) -> list[Any]:
    carries = entry.get("carries", []) if isinstance(entry, dict) else []
    return carries if isinstance(carries, list) else []


def _tensor(entry: Any, index: int, payloads: _Payloads) -> TensorPart:
    where = f"manifest.tensors[{index}]"
    f = _Fields(entry, where)
    name = f.text("name")
    if not name:
        f.fail("name", "a name")
    dtype = f.text("dtype")
    if dtype not in STORAGE:
        f.fail("dtype", f"one of {sorted(STORAGE)}")
    shape = f.integers("shape", least=1, limit=MAX_DIMENSIONS)
    if math.prod(shape) > MAX_ELEMENTS:
        f.fail("shape", f"at most {MAX_ELEMENTS} elements")
    placement = _placement(entry.get("placement"), shape, f"{where}.placement")
    local_shape = placement.local_shape if placement else shape
    size = math.prod(local_shape)
    carries = _carries(entry)
    if not set(carries) <= {"counts", "values", "sample", "full"} or len(set(carries)) != len(
        carries
    ):
        f.fail("carries", "any of counts, values, sample, full, each once")
    if ("counts" in carries) == ("values" in carries):
        f.fail("carries", "either counts or values")
    if "values" in carries and size > SMALL_TENSOR_ELEMENTS:
        f.fail("shape", f"at most {SMALL_TENSOR_ELEMENTS} elements where values are carried")
    counts = payloads.counts(dtype, where) if "counts" in carries else None
    if counts is not None and counts.size != size:
        raise WireError(
            f"{where}.counts",
            f"shape {list(local_shape)} has {size} elements, the counts add up to {counts.size}",
        )
    return TensorPart(
        name=name,
        shape=shape,
        dtype=dtype,
        role=f.text("role", "other", limit=64),
        layer=f.optional_integer("layer"),
        counts=counts,
        values=payloads.exact("values", dtype, size, where) if "values" in carries else None,
        sample=payloads.exact("sample", dtype, SAMPLE_SIZE, where) if "sample" in carries else None,
        full=payloads.full(index, dtype, local_shape, where) if "full" in carries else None,
        placement=placement,
    )


def _placement(document: Any, shape: tuple[int, ...], where: str) -> Placement | None:
    if document is None:
        return None
    f = _Fields(document, where)
    offset = f.integers("offset", least=0, limit=MAX_DIMENSIONS)
    local_shape = f.integers("local_shape", least=0, limit=MAX_DIMENSIONS)
    if len(offset) != len(shape) or len(local_shape) != len(shape):
        raise WireError(where, f"expected {len(shape)} axes in offset and local_shape")
    if any(
        start + length > whole
        for start, length, whole in zip(offset, local_shape, shape, strict=True)
    ):
        raise WireError(
            where, f"offset {offset} and local shape {local_shape} reach beyond {shape}"
        )
    return Placement(offset=offset, local_shape=local_shape)


class _Payloads:
    """Hands out the packed arrays in the manifest's order and insists that all is used up."""

    def __init__(self, arrays: dict[str, Array], sketch_count: int) -> None:
        self._arrays = dict(arrays)
        self._cursors: dict[str, int] = {}
        self._sketches = self._unpack_counts(sketch_count)

    def exact(self, kind: str, dtype: str, size: int, where: str) -> Exact:
        entry = f"{kind}.{dtype}"
        array = self._array(entry, STORAGE[dtype], where)
        start = self._cursors.get(entry, 0)
        if array.ndim != 1 or start + size > array.size:
            raise WireError(f"{where}.{kind}", f"`{entry}` ends before its {size} elements")
        self._cursors[entry] = start + size
        return Exact(dtype=dtype, data=array[start : start + size])

    def full(self, index: int, dtype: str, shape: tuple[int, ...], where: str) -> Exact:
        array = self._array(f"full.{index}", STORAGE[dtype], where)
        if array.shape != shape:
            raise WireError(
                f"{where}.full", f"expected shape {list(shape)}, got {list(array.shape)}"
            )
        del self._arrays[f"full.{index}"]
        return Exact(dtype=dtype, data=array)

    def counts(self, dtype: str, where: str) -> Sketch:
        keys, counts, nonfinite = next(self._sketches)
        format = key_format(dtype)
        if keys.size and np.isnan(key_values(format)[keys]).any():
            raise WireError(f"{where}.counts", f"a key stands for no finite {format} value")
        return Sketch(
            format=format,
            keys=keys,
            counts=counts,
            nan=int(nonfinite[0]),
            positive_infinite=int(nonfinite[1]),
            negative_infinite=int(nonfinite[2]),
        )

    def finish(self) -> None:
        for entry, array in self._arrays.items():
            if self._cursors.get(entry, 0) != array.size:
                raise WireError(entry, "holds more than the manifest's tensors carry")

    def _array(self, entry: str, dtype: np.dtype[Any], where: str) -> Array:
        array = self._arrays.get(entry)
        if array is None:
            raise WireError(where, f"`{entry}` is missing")
        if array.dtype != dtype:
            raise WireError(entry, f"expected {dtype}, got {array.dtype}")
        return array

    def _unpack_counts(self, sketch_count: int) -> Iterator[tuple[Array, Array, Array]]:
        if not sketch_count:
            return iter(())
        where = "counts"
        offsets = self._array(COUNT_OFFSETS, np.dtype(np.int64), where)
        deltas = self._array(COUNT_KEY_DELTAS, np.dtype(np.uint16), where)
        planes = self._array(COUNT_PLANES, np.dtype(np.uint8), where)
        nonfinite = self._array(COUNT_NONFINITE, np.dtype(np.int64), where)
        for entry in (COUNT_OFFSETS, COUNT_KEY_DELTAS, COUNT_PLANES, COUNT_NONFINITE):
            del self._arrays[entry]
        if offsets.shape != (sketch_count + 1,) or offsets[0] != 0 or offsets[-1] != deltas.size:
            raise WireError(
                COUNT_OFFSETS, f"expected {sketch_count + 1} offsets from 0 to {deltas.size}"
            )
        lengths = np.diff(offsets)
        if (lengths < 0).any() or (lengths > KEYS).any():
            raise WireError(COUNT_OFFSETS, f"each tensor has 0 to {KEYS} keys")
        if (
            deltas.ndim != 1
            or planes.ndim != 2
            or planes.shape[1] != deltas.size
            or not 1 <= planes.shape[0] <= 8
        ):
            raise WireError(
                COUNT_PLANES,
                f"expected 1 to 8 planes of {deltas.size} bytes, got shape {list(planes.shape)}",
            )
        if (
            nonfinite.shape != (sketch_count, 3)
            or (nonfinite < 0).any()
            or (nonfinite > MAX_ELEMENTS).any()
        ):
            raise WireError(
                COUNT_NONFINITE,
                f"expected {sketch_count} x 3 counts of nan, +inf, -inf, each from 0 to {MAX_ELEMENTS}",
            )
        wide = np.zeros((deltas.size, 8), dtype=np.uint8)
        wide[:, : planes.shape[0]] = planes.T
        counts = wide.view("<u8").reshape(-1)
        if (counts == 0).any() or (counts > MAX_ELEMENTS).any():
            raise WireError(COUNT_PLANES, f"each count is from 1 to {MAX_ELEMENTS}")
        return self._each_sketch(offsets, deltas, counts.astype(np.int64), nonfinite)

    @staticmethod
    def _each_sketch(
        offsets: Array, deltas: Array, counts: Array, nonfinite: Array
    ) -> Iterator[tuple[Array, Array, Array]]:
        for index in range(len(offsets) - 1):
            span = slice(int(offsets[index]), int(offsets[index + 1]))
            keys = np.cumsum(deltas[span], dtype=np.int64)
            if keys.size and (keys[-1] >= KEYS or (np.diff(keys) <= 0).any()):
                raise WireError(
                    COUNT_KEY_DELTAS, f"keys of sketch {index} do not ascend within 0..{KEYS - 1}"
                )
            yield keys.astype(np.uint16), counts[span], nonfinite[index]
