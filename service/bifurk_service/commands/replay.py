"""``bifurk replay``: a folder of checkpoints through the whole pipeline, as if it were a run."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import typer

from bifurk.config import WatchConfig
from bifurk.delivery import Delivery, open_delivery
from bifurk.identity import Identity
from bifurk.losses import LossLedger
from bifurk.transport import Request
from bifurk.wire import AttemptReport, Part, content_digest, encode, encode_attempt
from bifurk_service.checkpoints.finding import find_checkpoints
from bifurk_service.checkpoints.reading import tensors_of
from bifurk_service.checkpoints.snapshots import Snapshots
from bifurk_service.commands.alerts import show_alerts
from bifurk_service.commands.options import DEFAULT_URL, Token, Url
from bifurk_service.commands.rest import Json, Rest, RestError

SEND_SECONDS: Final = 600.0
"""For one checkpoint to be taken in: a part with full values over a slow line, or a busy server."""
POLL_SECONDS: Final = 0.5
ENDED: Final = ("judged", "late", "failed")
MEBIBYTE: Final = 1 << 20


def replay(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="CHECKPOINT_DIR", exists=True, file_okay=False, help="Holds the checkpoints."
        ),
    ],
    *,
    run: Annotated[
        str | None, typer.Option(help="The run's name; the folder's without it.")
    ] = None,
    project: Annotated[str, typer.Option(help="Its project.")] = "default",
    attempt: Annotated[str, typer.Option(help="Name of the attempt.")] = "replay",
    full_mib: Annotated[
        int, typer.Option(min=0, help="Most MiB of full values, for spectra, a checkpoint.")
    ] = 64,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """Send checkpoints to a server in order of their steps, and list the alerts."""
    rest = Rest(url, token)
    rest.get("/api/v1/runs", limit=1)
    checkpoints = find_checkpoints(folder)
    config = WatchConfig(
        mode="online",
        url=url,
        token=token,
        project=project,
        run=run or folder.resolve().name,
        attempt=attempt,
    )
    snapshots = Snapshots(
        project=config.project,
        run=config.run,
        attempt=config.attempt,
        full_bytes=full_mib * MEBIBYTE,
    )
    with tempfile.TemporaryDirectory() as spool:
        courier = _Courier(replace(config, spool_dir=Path(spool)))
        try:
            for checkpoint in checkpoints:
                part = snapshots.part(checkpoint, tensors_of(checkpoint))
                courier.send_part(part)
                typer.echo(f"step {checkpoint.step}: {checkpoint.path.name} sent", err=True)
            courier.send_end(last_step=checkpoints[-1].step, last_sequence=len(checkpoints) - 1)
        finally:
            courier.close()
    found = _wait(rest, config, len(checkpoints))
    show_alerts(list(rest.items("/api/v1/alerts", run=found["id"])))


class _Courier:
    """Sends with the client's own delivery: its retries, and its patience with a busy server."""

    def __init__(self, config: WatchConfig) -> None:
        self._identity = Identity(project=config.project, run=config.run, attempt=config.attempt)
        self._ledger = LossLedger()
        self._delivery: Delivery = open_delivery(config, self._ledger)

    def send_part(self, part: Part) -> None:
        body = encode(part)
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Encoding": "zstd",
            "Content-Digest": content_digest(body),
        }
        path = self._identity.part_path(part.manifest.step)
        self._send(path, headers, body, sequence=part.manifest.sequence)

    def send_end(self, *, last_step: int, last_sequence: int) -> None:
        report = AttemptReport(
            state="finished",
            last_step=last_step,
            last_sequence=last_sequence,
            wall_clock_seconds=time.time(),
        )
        headers = {"Content-Type": "application/json"}
        self._send(self._identity.attempt_path, headers, encode_attempt(report), sequence=None)

    def close(self) -> None:
        self._delivery.close(0.0)

    def _send(
        self, path: str, headers: dict[str, str], body: bytes, *, sequence: int | None
    ) -> None:
        self._delivery.put(
            Request(method="PUT", path=path, headers=headers, body=body, sequence=sequence)
        )
        arrived = self._delivery.flush(SEND_SECONDS)
        dropped = self._ledger.report().dropped
        if dropped:
            raise RestError(
                f"the server refused what was sent ({', '.join(dropped)}); the log above says why. "
                "A run keeps what it has: replay into another --run or --attempt"
            )
        if not arrived:
            raise RestError(f"the server did not take a checkpoint within {SEND_SECONDS:g} s")


def _wait(rest: Rest, config: WatchConfig, sent: int) -> Json:
    """The run, once everything that was sent has been judged."""
    [run] = rest.items("/api/v1/runs", project=config.project, run=config.run)
    while True:
        found = rest.get(f"/api/v1/runs/{run['id']}")
        if sum(found["snapshots"][state] for state in ENDED) >= sent:
            return found
        time.sleep(POLL_SECONDS)
