"""One run's singular spectra by layer, along its steps."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import dashboard as builders

from deploy.grafana.boards.annotations import raised_alerts
from deploy.grafana.boards.panels import WIDTH, begin, lines, logarithmic, page_link
from deploy.grafana.boards.step_axis import by_layer, trend_panel
from deploy.grafana.boards.variables import CHOSEN_ROLES, page, stored_run, stored_tensors

PANELS: Final = (
    ("Largest singular value", "spectral_norm", "The spectral norm.", True),
    ("Stable rank", "stable_rank", "How many directions carry the energy.", True),
    ("Effective rank", "effective_rank", "The exponential of the spectrum's entropy.", True),
    (
        "Directions beyond the noise",
        "spectrum_outliers",
        "Singular values that random entries of any row and column scales do not have.",
        False,
    ),
    (
        "Distance from the Marchenko-Pastur law",
        "mp_ks_distance",
        "Kolmogorov-Smirnov distance of the bulk from the fitted law.",
        False,
    ),
    (
        "Exponent of the tail",
        "power_law_alpha",
        "Fitted where the spectrum has a tail; without one there is no value.",
        False,
    ),
)
"""Title, statistic, what it says, whether its axis is logarithmic."""


def board() -> builders.Dashboard:
    """The dashboard of spectra."""
    found = begin(
        "bifurk: spectra",
        "Singular values of a run's matrices: medians over the tensors of a layer, for the chosen "
        "roles. Where the time for spectra ran out, a matrix has gaps.",
        [page(), *stored_run(), *stored_tensors()],
    )
    found.annotation(raised_alerts()).link(
        page_link("bifurk's page of this run", "/runs/${run_id}")
    )
    found.with_row(builders.Row("Along the steps, by layer"))
    for title, statistic, says, log in PANELS:
        sql = by_layer(f'"{statistic}"')
        panel = trend_panel(title, sql, width=WIDTH // 2, scale=logarithmic() if log else None)
        found.with_panel(panel.description(f"`{statistic}`. {says}"))
    found.with_row(builders.Row("By the clock, by role"))
    for title, metric in (
        ("Stable rank", "bifurk_stable_rank"),
        ("Directions beyond the noise", "bifurk_spectrum_outliers"),
    ):
        query = f'{metric}{{{CHOSEN_ROLES}, over="max"}}'
        clock = lines(f"{title}: largest tensor", [(query, "{{role}}")])
        found.with_panel(
            clock.scale_distribution(logarithmic()) if title == "Stable rank" else clock
        )
    return found
