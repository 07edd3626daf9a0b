"""Files that lie about their frame, header or entries: refused, with bounded memory."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
import zstandard

from bifurk.wire import Part, PartTooLargeError, WireError, WireLimits, decode, encode, encode_plain
from bifurk.wire.container import LARGEST_WINDOW_BYTES
from tests.wire.forge import (
    MIB,
    forge,
    put_together,
    refused,
    zstd,
)


@pytest.mark.parametrize("cut", [0, 1, 4, 9, 0.5, -1])
def test_a_truncated_frame_is_refused(cut: float, part: Part) -> None:
    body = encode(part)
    kept = int(cut * len(body)) if isinstance(cut, float) else cut
    with pytest.raises(WireError, match=r"body: (not a zstd frame|the zstd frame is truncated)"):
        decode(body[:kept])


def test_a_truncated_frame_that_announces_no_size_is_refused(part: Part) -> None:
    compressor = zstandard.ZstdCompressor(level=1, write_content_size=False).compressobj()
    body = compressor.compress(encode_plain(part)) + compressor.flush()
    assert decode(body).manifest == part.manifest
    with pytest.raises(WireError, match="truncated"):
        decode(body[:-1])


@pytest.mark.parametrize("extra", [b"x", zstd(b""), zstd(b"more"), b"\0" * 5_000])
def test_whatever_follows_the_one_frame_is_refused(extra: bytes, part: Part) -> None:
    with pytest.raises(WireError, match=f"{len(extra)} bytes follow the one zstd frame"):
        decode(encode(part) + extra)


def test_many_concatenated_frames_are_refused_after_the_first() -> None:
    with pytest.raises(WireError, match="bytes follow the one zstd frame"):
        decode(zstd(b"\0" * 100_000) * 10_000)


def test_a_decompression_bomb_is_refused_without_unpacking_it() -> None:
    limits = WireLimits(decoded_bytes=MIB)
    silent = zstandard.ZstdCompressor(level=1, write_content_size=False).compressobj()
    zeros = bytes(16 * MIB)
    bomb = b"".join(silent.compress(zeros) for _ in range(32)) + silent.flush()
    for body in (bomb, zstd(bytes(512 * MIB))):
        tracemalloc.start()
        with pytest.raises(PartTooLargeError, match=f"at most {MIB} bytes when unpacked"):
            decode(body, limits=limits)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 80 * MIB


def test_a_frame_that_demands_a_huge_window_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(
        window_log=LARGEST_WINDOW_BYTES.bit_length(), enable_ldm=True
    )
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    body = compressor.compress(b"x" * 100) + compressor.flush()
    with pytest.raises(WireError, match="not a zstd frame"):
        decode(body)


def test_a_body_that_is_no_zstd_is_refused() -> None:
    with pytest.raises(WireError, match="body: not a zstd frame"):
        decode(b"PK\x03\x04 something else")


def test_an_unpacked_body_beyond_the_limit_is_refused(part: Part) -> None:
    error = refused(encode_plain(part), limits=WireLimits(decoded_bytes=1_000))
    assert isinstance(error, PartTooLargeError)


def test_an_unknown_encoding_is_refused(part: Part) -> None:
    with pytest.raises(WireError, match="expected zstd or identity, got 'gzip'"):
        decode(encode(part), encoding="gzip")


@pytest.mark.parametrize(
    ("plain", "where", "problem"),
    [
        (b"", "safetensors", "0 bytes are too few"),
        (b"\1\0\0", "safetensors", "3 bytes are too few"),
        ((100).to_bytes(8, "little") + b"{}", "safetensors header", "100 bytes announced, 2 came"),
        (b"\xff" * 8 + b"{}", "safetensors header", "announced, 2 came"),
        (put_together(b"[]", b""), "safetensors header", "expected an object, got list"),
        (put_together(b"{", b""), "safetensors header", "not strict JSON"),
        (put_together(b"{}", b""), "safetensors header", "no `manifest`"),
        (put_together(b'{"__metadata__": {"manifest": 3}}', b""), "safetensors header", "no `man"),
        (put_together(b'{"__metadata__": 3}', b""), "safetensors header", "no `manifest`"),
        (put_together(b'{"a": 1, "a": 2}', b""), "safetensors header", "the same key twice"),
        (put_together(b"\xff\xfe{\0}\0", b""), "safetensors header", "not UTF-8"),
    ],
)
def test_a_header_that_lies_is_refused(plain: bytes, where: str, problem: str) -> None:
    error = refused(plain)
    assert error.where == where
    assert problem in error.problem


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"dtype": "F8"}, "expected one of U8"),
        ({"dtype": 3}, "expected text"),
        ({"shape": "x"}, "expected a list"),
        ({"shape": [-1]}, "whole numbers from 0"),
        ({"shape": [True]}, "whole numbers from 0"),
        ({"shape": [1.0]}, "whole numbers from 0"),
        ({"shape": [1 << 70]}, "whole numbers from 0"),
        ({"shape": [1 << 40, 1 << 40]}, "elements"),
        ({"shape": [0, 1 << 40, 1 << 40]}, "elements"),
        ({"shape": [1] * 17}, "at most 16 entries"),
        ({"shape": [63]}, "bytes apart"),
        ({"data_offsets": [0]}, "bytes apart"),
        ({"data_offsets": [0, 1, 2]}, "at most 2 entries"),
        ({"data_offsets": [128, 0]}, "bytes apart"),
        ({"data_offsets": [-128, 0]}, "whole numbers from 0"),
        ({"data_offsets": [1 << 62, (1 << 62) + 128]}, "entries lie end to end"),
        ({"data_offsets": [(1 << 64) - 128, 1 << 64]}, "whole numbers from 0"),
        ({"data_offsets": [2, 130]}, "entries lie end to end"),
    ],
)
def test_an_entry_that_lies_is_refused(change: dict[str, Any], problem: str, part: Part) -> None:
    error = refused(forge(part, header=lambda h: h["values.bfloat16"].update(change)))
    assert error.where.startswith("safetensors entry")
    assert problem in error.problem


def test_overlapping_entries_are_refused(part: Part) -> None:
    def overlap(header: dict[str, Any]) -> None:
        header["values.float16"]["data_offsets"] = header["values.bfloat16"]["data_offsets"]

    assert "entries lie end to end" in refused(forge(part, header=overlap)).problem


def test_bytes_that_belong_to_no_entry_are_refused(part: Part) -> None:
    assert "bytes, " in refused(encode_plain(part) + b"\0").problem


def test_more_entries_than_tensors_are_refused_early(part: Part) -> None:
    empty = {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}
    plain = forge(part, header=lambda h: h.update({f"x{i}": empty for i in range(200)}))
    error = refused(plain, limits=WireLimits(tensors=10))
    assert isinstance(error, PartTooLargeError)


def test_arrays_of_later_minors_are_ignored(part: Part) -> None:
    def add(header: dict[str, Any]) -> None:
        header["paths.bins"] = {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}

    def carry(manifest: dict[str, Any]) -> None:
        manifest["wire_version"] = "1.7"
        manifest["novelty"] = {"deep": [1, 2, 3]}
        manifest["tensors"][0]["carries"].append("paths")

    received = decode(forge(part, header=add, manifest=carry), encoding="identity")
    assert received.tensors[0].name == part.tensors[0].name
