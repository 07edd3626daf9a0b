"""Coverage-guided fuzzing of the part decoder: ``make fuzz``, or this script with ``--runs``.

Inputs grow from real parts; half of the steps change their JSON by meaning, the others their bytes.
Anything but ``WireError`` ends the run with the input that did it, and so do an input of more than
ten seconds and memory beyond the limit. The corpus lies in a folder that is deleted.
"""

from __future__ import annotations

import argparse
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["bifurk.wire", "bifurk.packing", "bifurk.sketch"]):
    from bifurk.wire import WireError, WireLimits, decode, encode_plain

from tests.fuzz.mutations import mutated, seeds, squeezed

LIMITS = WireLimits(decoded_bytes=1 << 20, header_bytes=1 << 16, json_values=5_000, tensors=100)
ROOM_BYTES = 512 << 20
"""Address space beyond what the process has at its start: a bound on what an input can take."""
MOST_INPUT_BYTES = 64 << 10
SECONDS_AN_INPUT = 10
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


class Fuzzed:
    """Counts what became of the inputs, and says so with the last one.

    Args:
        runs: how many there will be: libFuzzer ends the process by itself.
    """

    def __init__(self, runs: int) -> None:
        self._runs = runs
        self._inputs = 0
        self._read = 0
        self._slowest_seconds = 0.0
        self._began = time.monotonic()

    def one(self, data: bytes) -> None:
        """Decodes one input, packed or not, and what is read once more."""
        self._inputs += 1
        began = time.monotonic()
        encoding = "zstd" if data.startswith(ZSTD_MAGIC) else "identity"
        try:
            part = decode(data, encoding=encoding, limits=LIMITS)
        except WireError as error:
            if not (error.where and error.problem):
                raise AssertionError("a refusal without a reason") from error
        else:
            self._read += 1
            decode(encode_plain(part), encoding="identity", limits=LIMITS)
        self._slowest_seconds = max(self._slowest_seconds, time.monotonic() - began)
        if self._inputs == self._runs:
            print(self._said(), flush=True)

    def _said(self) -> str:
        seconds = time.monotonic() - self._began
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        return (
            f"{self._inputs:,} inputs in {seconds:,.0f} s ({self._inputs / seconds:,.0f} a "
            f"second), {self._read:,} read, {self._inputs - self._read:,} refused; slowest "
            f"{self._slowest_seconds:.3f} s; peak memory {peak:,} MiB"
        )


def main() -> int:
    """Fuzzes until the runs are done, in a process whose folder is deleted behind it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", type=Path, help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.corpus is not None:
        _fuzz(told.corpus, runs=told.runs, seed=told.seed)
        return 0
    with tempfile.TemporaryDirectory(prefix="bifurk-fuzz-") as folder:
        for number, body in enumerate(seeds()):
            Path(folder, f"plain-{number}").write_bytes(body)
            Path(folder, f"zstd-{number}").write_bytes(squeezed(body))
        command = [sys.executable, __file__, "--corpus", folder]
        command += ["--runs", str(told.runs), "--seed", str(told.seed)]
        return subprocess.run(command, check=False).returncode


def _fuzz(corpus: Path, *, runs: int, seed: int) -> None:
    options = [
        str(corpus),
        f"-runs={runs}",
        f"-seed={seed}",
        f"-max_len={MOST_INPUT_BYTES}",
        f"-timeout={SECONDS_AN_INPUT}",
        f"-artifact_prefix={Path.cwd()}/",
        "-verbosity=0",
    ]
    atheris.Setup([sys.argv[0], *options], Fuzzed(runs).one, custom_mutator=_mutate)
    _bound_memory()
    atheris.Fuzz()


def _mutate(data: bytes, most: int, seed: int) -> bytes:
    rng = random.Random(seed)
    if rng.random() < 0.5:
        changed = mutated(data, rng)
        if rng.random() < 0.05:
            changed = squeezed(changed)
        if len(changed) <= most:
            return changed
    return bytes(atheris.Mutate(data, most))


def _bound_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + ROOM_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    sys.exit(main())
