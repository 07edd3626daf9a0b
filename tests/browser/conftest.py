"""A real Chromium on a real server that holds a real training with an alert."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest
import torch
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

import bifurk
from bifurk_service.demo.runs import TinyGpt
from bifurk_service.demo.tiny_gpt import train
from tests.api.filling import Caller
from tests.server import Server, wait_for

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LAPTOP = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
DEADLINE_MS = 60_000
PROJECT = "browser"
FAULT = TinyGpt(steps=112, fault_step=84)
EVERY = 4
SENT_EVERY = 2 * EVERY
"""Steps: there are buffers for more snapshots than they take."""
HOSTILE = "<img src=x onerror=alert(1)>"
"""What a display name, a mark and a scalar's name may be: text."""

expect.set_options(timeout=DEADLINE_MS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A server; ids of a run with a fault, of one that has nothing yet, and of the first's alerts.

    Attributes:
        alert: a warning, which tests leave as it is. doomed: what a test may resolve.
    """

    server: Server
    run: int
    empty: int
    alert: int
    doomed: int

    @property
    def url(self) -> str:
        return self.server.url


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("browser")
    server = Server(folder / "data")
    try:
        yield _filled(server, spool=folder / "spool")
    finally:
        server.stop()


def _filled(server: Server, *, spool: Path) -> Watched:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        process.submit(_train, server.url, spool).result()
    run = _run_id(server, "fault")
    server.wait_until_judged(run, FAULT.steps // EVERY)
    server.request(
        "PATCH",
        f"/api/v1/runs/{run}",
        body=f'{{"display_name": "fault {HOSTILE}"}}'.encode(),
        headers={"Content-Type": "application/json"},
    )
    alerts = server.get(f"/api/v1/alerts?run={run}&severity=warning&severity=critical")["items"]
    assert alerts, "the training's fault raised no warning"
    Caller(server).report(PROJECT, "empty")
    empty = _run_id(server, "empty")
    told = server.get(f"/api/v1/alerts?run={run}&severity=info&state=firing")["items"]
    doomed = next(alert["id"] for alert in told if alert["parent"] is None)
    return Watched(server=server, run=run, empty=empty, alert=alerts[0]["id"], doomed=doomed)


def _train(url: str, spool: Path) -> None:
    torch.set_num_threads(1)
    monitors: list[bifurk.Monitor] = []

    @contextmanager
    def watch(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[Any]:
        with bifurk.watch(
            model,
            optimizer,
            project=PROJECT,
            run="fault",
            every=EVERY,
            url=url,
            spool_dir=spool,
            overhead_budget=None,
        ) as monitor:
            monitors.append(monitor)
            yield monitor

    for done in train(FAULT, watch=watch):
        if done.step % SENT_EVERY == 0:
            assert monitors[0].flush(120), "no snapshot is left out, however busy the machine is"


def _run_id(server: Server, name: str) -> int:
    def found() -> int | None:
        items = server.get(f"/api/v1/runs?project={PROJECT}&run={name}")["items"]
        return items[0]["id"] if items else None

    return int(wait_for(found, f"the run {name}"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


@dataclass(slots=True, kw_only=True)
class Visit:
    """A page in a browser of its own, and what it must not have done."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def go(self, path: str) -> Page:
        """Opens a path and waits until every figure has been drawn."""
        self.page.goto(self.url + path)
        self.settled()
        return self.page

    def settled(self) -> None:
        """Waits until no figure is being drawn."""
        expect(self.page.locator("[data-figure][aria-busy=true]")).to_have_count(0)


@pytest.fixture
def visit(browser: Browser, watched: Watched) -> Iterator[Callable[..., Visit]]:
    """Opens a browser window; at the end, nothing was complained of and nothing left the host."""
    visits: list[Visit] = []

    def start(*, dark: bool = False, phone: bool = False, url: str = watched.url) -> Visit:
        context = browser.new_context(
            viewport=PHONE if phone else LAPTOP,  # type: ignore[arg-type]
            color_scheme="dark" if dark else "light",
            accept_downloads=True,
        )
        context.set_default_timeout(DEADLINE_MS)
        made = Visit(page=context.new_page(), url=url)
        _watch(made)
        visits.append(made)
        return made

    yield start
    for made in visits:
        made.page.context.close()
        assert made.complaints == []
        elsewhere = [one for one in made.requests if not _is_local(one, made.url)]
        assert elsewhere == [], "requests left the host"


def _watch(visit: Visit) -> None:
    def on_console(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            visit.complaints.append(f"{message.type}: {message.text}")

    def on_request(request: Request) -> None:
        visit.requests.append(request.url)

    visit.page.on("console", on_console)
    visit.page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    visit.page.on("request", on_request)


def asked(page: Page) -> dict[str, str]:
    """The page's query."""
    return {name: values[0] for name, values in parse_qs(urlparse(page.url).query).items()}


def fits(page: Page) -> bool:
    """Whether the page is no wider than the window."""
    return bool(page.locator("body").evaluate("body => body.scrollWidth <= innerWidth"))


def _is_local(url: str, server: str) -> bool:
    return url.startswith(server) or re.match(r"(data|blob):", url) is not None
