"""``bifurk top``: the runs that train now, as they go, and what was told last."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Final

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from bifurk_service.commands.options import DEFAULT_URL, AsJson, Token, Url
from bifurk_service.commands.output import plain, show_json, show_table, when
from bifurk_service.commands.rest import Json, Rest, RestError
from bifurk_service.commands.runs import alert_counts

COLUMNS: Final = ("RUN", "STATE", "STEP", "STEPS/S", "OVERHEAD", "ALERTS", "LAST HEARD OF")
STYLES: Final[Mapping[str, str]] = {
    "critical": "bold red",
    "warning": "yellow",
    "info": "blue",
    "running": "green",
    "failed": "red",
    "lost": "red",
}
"""Of words on a terminal; ``NO_COLOR`` takes them away."""
LAST_ALERTS: Final = 5
SPEED_WINDOW_SECONDS: Final = 60.0


def top(
    *,
    interval: Annotated[
        float, typer.Option(min=0.2, help="Seconds between two looks at the server.")
    ] = 2.0,
    every: Annotated[bool, typer.Option("--all", help="Ended runs too.")] = False,
    as_json: AsJson = False,
    url: Url = DEFAULT_URL,
    token: Token = None,
) -> None:
    """Watch runs as they train, until Ctrl-C; into a pipe, one look."""
    look = Look(Rest(url, token), every=every)
    if as_json or not sys.stdout.isatty():
        runs, alerts = look.taken()
        if as_json:
            show_json({"runs": runs, "alerts": alerts})
        else:
            show_table(COLUMNS, [look.row(run) for run in runs])
        return
    with contextlib.suppress(KeyboardInterrupt):
        _follow(look, interval=interval)


class Look:
    """Looks at a server again and again, and tells how fast its runs go.

    Args:
        rest: the server. every: ended runs too. clock: seconds that only grow.
    """

    def __init__(
        self, rest: Rest, *, every: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rest, self._every, self._clock = rest, every, clock
        self._steps: dict[int, deque[tuple[float, int]]] = {}

    def taken(self) -> tuple[list[Json], list[Json]]:
        """Runs, those heard of last first, and the last alerts that stand, newest first.

        Raises:
            RestError: the server does not answer.
        """
        found = list(self._rest.items("/api/v1/runs"))
        runs = [run for run in found if self._every or run["state"] == "running"]
        now = self._clock()
        for run in runs:
            if run["last_step"] is not None:
                self._remember(run["id"], now, run["last_step"])
        runs.sort(key=lambda run: run["updated_at"], reverse=True)
        standing = [
            alert
            for run in runs
            if run["alerts"]
            for alert in self._rest.items("/api/v1/alerts", run=run["id"], state=["firing"])
            if not alert["silenced_by"] and alert["parent"] is None
        ]
        standing.sort(key=lambda alert: alert["created_at"], reverse=True)
        return runs, standing[:LAST_ALERTS]

    def row(self, run: Json) -> tuple[object, ...]:
        """A run under ``COLUMNS``."""
        speed, overhead = self._speed(run["id"]), run["overhead_ratio"]
        return (
            f"{run['project']}/{run['run']}",
            run["state"],
            run["last_step"],
            None if speed is None else f"{speed:.3g}",
            None if overhead is None else f"{overhead:.2%}",
            alert_counts(run),
            when(run["updated_at"]),
        )

    def _remember(self, run_id: int, now: float, step: int) -> None:
        seen = self._steps.setdefault(run_id, deque())
        if seen and step < seen[-1][1]:
            seen.clear()
        seen.append((now, step))
        while now - seen[0][0] > SPEED_WINDOW_SECONDS:
            seen.popleft()

    def _speed(self, run_id: int) -> float | None:
        """Steps a second over the last minute; None before two looks."""
        seen = self._steps.get(run_id)
        if not seen or seen[-1][0] <= seen[0][0]:
            return None
        return (seen[-1][1] - seen[0][1]) / (seen[-1][0] - seen[0][0])


def _follow(look: Look, *, interval: float) -> None:
    console = Console()
    shown = Text("looking ...")
    with Live(shown, console=console, auto_refresh=False) as live:
        while True:
            try:
                runs, alerts = look.taken()
                live.update(_screen(look, runs, alerts, rows=console.height), refresh=True)
            except RestError as error:
                live.update(Text(error.detail, style="red"), refresh=True)
            time.sleep(interval)


def _screen(look: Look, runs: Sequence[Json], alerts: Sequence[Json], *, rows: int) -> Group:
    table = Table(*COLUMNS, box=None, header_style="bold", pad_edge=False)
    room = max(1, rows - len(alerts) - 4)
    for run in runs[:room]:
        table.add_row(*(_styled(cell) for cell in look.row(run)))
    parts: list[Table | Text] = [table]
    if not runs:
        parts.append(Text("no run trains now; --all shows those that ended"))
    if len(runs) > room:
        parts.append(Text(f"and {len(runs) - room} more"))
    parts += [
        Text.assemble(
            (f"{alert['severity']:<9}", STYLES[alert["severity"]]), plain(alert["sentence"])
        )
        for alert in alerts
    ]
    return Group(*parts)


def _styled(cell: object) -> Text:
    text = Text(plain(cell))
    for word, style in STYLES.items():
        text.highlight_words([word], style)
    return text
