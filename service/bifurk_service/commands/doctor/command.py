"""The command: which checks, and how they are shown."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

import typer

from bifurk_service.commands.doctor import connection, machine, set_up, stores, training
from bifurk_service.commands.doctor.finding import Finding, Severity
from bifurk_service.commands.options import AsJson
from bifurk_service.commands.output import plain, show_json
from bifurk_service.settings import Settings

Client = Annotated[
    bool, typer.Option("--client", help="Look at a machine that trains, not at one that serves.")
]
Channels = Annotated[
    bool, typer.Option("--channels", help="Also connect to every channel; nothing is sent.")
]
Url = Annotated[
    str | None,
    typer.Option("--url", envvar="BIFURK_URL", help="The server.", show_default=False),
]
Token = Annotated[
    str | None,
    typer.Option("--token", envvar="BIFURK_TOKEN", help="For it.", show_default=False),
]


def doctor(
    *,
    client: Client = False,
    channels: Channels = False,
    url: Url = None,
    token: Token = None,
    as_json: AsJson = False,
) -> None:
    """Check the set-up and say what to do; exit 1 if something does not work."""
    findings = list(
        examine_client(url, token) if client else examine(Settings(), connecting=channels)
    )
    if as_json:
        show_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            _show(finding)
    if any(finding.severity is Severity.PROBLEM for finding in findings):
        sys.exit(1)


def examine(settings: Settings, *, connecting: bool = False) -> Iterator[Finding]:
    """Every check of a machine that serves; none changes anything that stays.

    Args:
        connecting: whether channels are connected to.
    """
    yield set_up.variables(os.environ, settings.alerts_file)
    yield machine.folder(settings.data_dir)
    yield machine.filesystem(settings)
    yield from stores.findings(settings)
    yield machine.port(settings)
    yield machine.clock(settings.data_dir)
    yield machine.disk(settings.data_dir)
    yield machine.descriptors()
    yield set_up.alerts_file(settings, connecting=connecting)
    if settings.public_url is not None:
        yield set_up.public_url(settings.public_url)


def examine_client(url: str | None, token: str | None) -> Iterator[Finding]:
    """Every check of a machine that trains: its own, then the way to the server."""
    yield set_up.variables(os.environ, None)
    yield training.torch_version()
    yield training.thread_pools()
    yield from training.spool(os.environ)
    yield from connection.findings(url, token, os.environ.get("BIFURK_PROJECT") or "default")


def _show(finding: Finding) -> None:
    word = "ok" if finding.severity is Severity.OK else finding.severity.value.upper()
    text = f"{finding.found}; {finding.advice}" if finding.advice else finding.found
    typer.echo(f"{word:<8}{finding.check:<12}{plain(text)}")
