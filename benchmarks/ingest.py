"""What a server makes of a 162-million-parameter model: bytes, seconds, parts, memory.

A real server process on loopback, SQLite, one worker. Weights of a GPT-2 sized model (148 tensors
and the head) drift a little from snapshot to snapshot; parts are made by the client's own code,
sent over one connection, and timed from the request to the moment REST says judged.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import psutil
import torch
import urllib3
from claims import Claim, options, report
from models import gpt_162m, parameter_count
from served import Served, served

from bifurk.exact import Exact
from bifurk.sketch import SMALL_TENSOR_ELEMENTS, sample_positions
from bifurk.sketch_torch import sketch as sketch_tensor
from bifurk.wire import Manifest, Part, TensorPart, content_digest, encode

SNAPSHOTS = 12
SMALL_PARTS = 500
POLL_SECONDS = 0.002


def main() -> int:
    """Measures and reports; 0 when every target is met."""
    asked = options(__doc__ or "")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = gpt_162m()
    with (
        tempfile.TemporaryDirectory() as folder,
        served(Path(folder) / "data", BIFURK_MEASURE_WORKERS="1") as process,
    ):
        server = Connection(process)
        large = large_model(server, model)
        small = many_parts(server, asked.rounds or SMALL_PARTS)
    return report([*large, *small], as_json=asked.json)


class Connection:
    """One kept-alive connection to a server."""

    def __init__(self, server: Served) -> None:
        self.url = server.url
        self._pid = server.pid
        self._http = urllib3.PoolManager(retries=urllib3.Retry(5, backoff_factor=0.2))

    def put(self, part: Part, body: bytes) -> float:
        """Sends one part; seconds until its acknowledgement."""
        m = part.manifest
        path = (
            f"/api/v1/projects/{m.project}/runs/{m.run}/attempts/{m.attempt}"
            f"/snapshots/{m.step}/parts/{m.rank}"
        )
        started = time.perf_counter()
        answer = self._http.request(
            "PUT",
            self.url + path,
            body=body,
            headers={"Content-Encoding": "zstd", "Content-Digest": content_digest(body)},
        )
        assert answer.status == 201, answer.data
        return time.perf_counter() - started

    def wait_judged(self, run: str, count: int) -> None:
        """Returns when this many snapshots of a run are judged."""
        while True:
            found = self._http.request("GET", f"{self.url}/api/v1/runs?run={run}").json()["items"]
            if found:
                detail = self._http.request(
                    "GET", f"{self.url}/api/v1/runs/{found[0]['id']}"
                ).json()
                if detail["snapshots"]["judged"] >= count:
                    return
            time.sleep(POLL_SECONDS)

    def resident_mib(self) -> float:
        """Resident memory of the server and its worker."""
        processes = [psutil.Process(self._pid)]
        processes += processes[0].children(recursive=True)
        return sum(p.memory_info().rss for p in processes) / 2**20


def large_model(server: Connection, model: torch.nn.Module) -> list[Claim]:
    """Bytes and seconds of a 162-million-parameter model without full values."""
    encode_seconds, acknowledge, judged, sizes = [], [], [], []
    counts_only = 0
    for sequence in range(SNAPSHOTS):
        started = time.perf_counter()
        part = make_part(model, "large", sequence)
        body = encode(part)
        encode_seconds.append(time.perf_counter() - started)
        if sequence == 0:
            counts_only = len(encode(only_counts(part)))
        sizes.append(len(body))
        started = time.perf_counter()
        acknowledge.append(server.put(part, body))
        server.wait_judged("large", sequence + 1)
        judged.append(time.perf_counter() - started)
        drift(model)
    return [
        Claim(claim="parameters", value=parameter_count(model) / 1e6, unit="million"),
        Claim(claim="tensors", value=len(list(model.parameters())), unit=""),
        Claim(claim="counts of one snapshot", value=counts_only / 1e6, unit="MB", target=0.3),
        Claim(claim="part without full values", value=max(sizes) / 1e6, unit="MB", target=1.6),
        Claim(claim="client: count and encode", value=statistics.median(encode_seconds), unit="s"),
        Claim(
            claim="server: request to acknowledgement",
            value=statistics.median(acknowledge),
            unit="s",
        ),
        Claim(claim="server: request to judged", value=statistics.median(judged[2:]), unit="s"),
    ]


def many_parts(server: Connection, count: int) -> list[Claim]:
    """Throughput of small parts, and whether memory stays flat over them."""
    torch.manual_seed(1)
    model = torch.nn.Sequential(*(torch.nn.Linear(64, 64) for _ in range(10)))
    parts = []
    for sequence in range(count):
        part = make_part(model, "small", sequence)
        parts.append((part, encode(part)))
        drift(model)
    memory, started = [], time.perf_counter()
    for index, (part, body) in enumerate(parts):
        server.put(part, body)
        if index % 10 == 0:
            memory.append(server.resident_mib())
    received = time.perf_counter() - started
    server.wait_judged("small", count)
    judged = time.perf_counter() - started
    memory.append(server.resident_mib())
    settled = statistics.median(memory[len(memory) // 5 : len(memory) // 2])
    return [
        Claim(
            claim="parts a second, acknowledged (20 small tensors)",
            value=count / received,
            unit="1/s",
        ),
        Claim(claim="parts a second, judged", value=count / judged, unit="1/s"),
        Claim(
            claim=f"server's memory after {count} parts / after a third of them",
            value=memory[-1] / settled,
            unit="x",
            target=1.1,
        ),
        Claim(claim="server's memory at the end, worker included", value=memory[-1], unit="MiB"),
    ]


def make_part(model: torch.nn.Module, run: str, sequence: int) -> Part:
    """One part as the hook makes it, without full values."""
    tensors = []
    for name, parameter in model.named_parameters():
        values = parameter.detach()
        flat = values.flatten()
        described = TensorPart(name=name, shape=tuple(values.shape), dtype="float32")
        if flat.numel() <= SMALL_TENSOR_ELEMENTS:
            exact = Exact(dtype="float32", data=flat.numpy().copy())
            tensors.append(replace(described, values=exact))
        else:
            positions = torch.from_numpy(sample_positions(flat.numel()))
            sample = Exact(dtype="float32", data=flat[positions].numpy())
            tensors.append(replace(described, counts=sketch_tensor(flat), sample=sample))
    manifest = Manifest(
        project="benchmarks",
        run=run,
        attempt="one",
        step=sequence * 10,
        sequence=sequence,
        previous_step=(sequence - 1) * 10 if sequence else None,
        learning_rates=(1e-3,),
    )
    return Part(manifest=manifest, tensors=tuple(tensors))


def only_counts(part: Part) -> Part:
    """The part with its counts and nothing else."""
    return replace(
        part, tensors=tuple(replace(t, sample=None) for t in part.tensors if t.counts is not None)
    )


@torch.no_grad()
def drift(model: torch.nn.Module) -> None:
    """A small random step of every weight."""
    for parameter in model.parameters():
        parameter.add_(torch.randn_like(parameter), alpha=1e-3 * max(parameter.std().item(), 1e-3))


if __name__ == "__main__":
    raise SystemExit(main())
