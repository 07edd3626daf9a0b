"""One run: a statistic by role, then by layer, along the steps; its alerts; how it does now."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import units

from deploy.grafana.boards.annotations import raised_alerts
from deploy.grafana.boards.panels import (
    begin,
    lines,
    logarithmic,
    number,
    page_link,
    severities,
    signed_logarithmic,
    stored_table,
)
from deploy.grafana.boards.step_axis import by_layer, by_role, logged, trend_panel
from deploy.grafana.boards.variables import (
    CHOSEN_ROLES,
    CHOSEN_RUN,
    CHOSEN_RUNS,
    page,
    scalars,
    statistic,
    stored_run,
    stored_tensors,
)

COLUMN: Final = '"${statistic:raw}"'
"""The one place where a variable is put in unquoted: its values are a list that nobody adds to."""
ALERTS: Final = (
    "SELECT id, to_timestamp(created_at) AS raised, severity, kind, state, statistic,\n"
    "  onset_first_step, onset_last_step, detected_step, superseded, silenced, sentence\n"
    f"FROM bifurk_v1_alerts WHERE {CHOSEN_RUN} ORDER BY id DESC LIMIT 500"
)


def board() -> builders.Dashboard:
    """The dashboard of one run."""
    found = begin(
        "bifurk: one run",
        "What the snapshots of one run say, along its steps: first the roles, then the layers. A "
        "stretch that a later attempt went over again is left out.",
        [page(), *stored_run(), *stored_tensors(), statistic("std"), scalars()],
    )
    found.annotation(raised_alerts()).link(
        page_link("bifurk's page of this run", "/runs/${run_id}")
    )
    found.with_row(builders.Row("Now"))
    found.with_panel(
        severities(
            number(
                "Alerts firing",
                (
                    f"sum by (severity) (bifurk_alerts_firing{{{CHOSEN_RUNS}}})",
                    "{{severity}}",
                ),
            )
        )
    )
    found.with_panel(number("State", (f"bifurk_run_state{{{CHOSEN_RUNS}}} == 1", "{{state}}")))
    found.with_panel(number("Last step", (f"bifurk_last_snapshot_step{{{CHOSEN_RUNS}}}", "step")))
    found.with_panel(
        number(
            "Overhead", (f"bifurk_client_overhead_ratio{{{CHOSEN_RUNS}}}", "share of the time")
        ).unit(units.PercentUnit)
    )
    _along_the_steps(found)
    _alerts_and_clock(found)
    return found


def _along_the_steps(board: builders.Dashboard) -> None:
    board.with_row(builders.Row("Along the steps"))
    board.with_panel(
        trend_panel(
            "$statistic by role: median over tensors", by_role(COLUMN), scale=signed_logarithmic()
        )
    )
    board.with_panel(
        trend_panel(
            "$statistic by layer: median over tensors", by_layer(COLUMN), scale=signed_logarithmic()
        )
    )
    board.with_panel(trend_panel("What the training logged", logged()))


def _alerts_and_clock(board: builders.Dashboard) -> None:
    board.with_row(builders.Row("Alerts"))
    board.with_panel(
        stored_table(
            "Alerts of this run", ALERTS, {"id": ("bifurk's page", "${page}/alerts/${__value.raw}")}
        )
    )
    board.with_row(builders.Row("By the clock"))
    for title, metric in (("Standard deviation", "weight_std"), ("Update ratio", "update_ratio")):
        query = f'bifurk_{metric}{{{CHOSEN_ROLES}, over="median"}}'
        panel = lines(f"{title}: median over tensors", [(query, "{{role}}")])
        board.with_panel(panel.scale_distribution(logarithmic()))
