"""What a person picks: project, run, role, layer, and which statistic."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import dashboard as models

from bifurk_service.stats.table import STATISTIC_NAMES
from deploy.grafana.boards.sources import POSTGRES, PROMETHEUS

PAGE_URL: Final = "http://127.0.0.1:8700"
"""Where docker-compose.yml publishes bifurk's own page."""
NAMED: Final = '{__name__=~"bifurk_run_state|bifurk_alerts_firing"'
"""Runs are also found by their alerts, which outlive their other series."""
CHOSEN_RUNS: Final = 'project=~"$project", run=~"$run"'
CHOSEN_ROLES: Final = f'{CHOSEN_RUNS}, role=~"$role"'
CHOSEN_RUN: Final = "project = ${project:sqlstring} AND run = ${run:sqlstring}"
CHOSEN_TENSORS: Final = (
    f"{CHOSEN_RUN} AND role IN (${{role:sqlstring}}) "
    "AND coalesce(layer::text, 'none') IN (${layer:sqlstring})"
)
ALL: Final = models.VariableOption(selected=True, text=["All"], value=["$__all"])

Variable = builders.QueryVariable | builders.CustomVariable | builders.ConstantVariable


def page() -> Variable:
    """The address of bifurk's page, which links lead to."""
    return _Hidden("page").value(PAGE_URL)


def live_runs() -> list[Variable]:
    """Projects and runs that Prometheus knows, any number of them."""
    return [
        _live("project", f"label_values({NAMED}}}, project)"),
        _live("run", f'label_values({NAMED}, project=~"$project"}}, run)'),
    ]


def live_roles() -> Variable:
    """Roles of the chosen runs."""
    return _live("role", f"label_values(bifurk_weight_std{{{CHOSEN_RUNS}}}, role)")


def stored_run() -> list[Variable]:
    """One project and one run of it, the newest first; `run_id` follows, for links."""
    of_project = "FROM bifurk_v1_runs WHERE project = ${project:sqlstring}"
    number = f"SELECT run_id::text FROM bifurk_v1_runs WHERE {CHOSEN_RUN}"
    return [
        _stored("project", "SELECT DISTINCT project FROM bifurk_v1_runs ORDER BY project"),
        _stored("run", f"SELECT run {of_project} ORDER BY updated_at DESC"),
        _stored("run_id", number).hide(models.VariableHide.HIDE_VARIABLE),
    ]


def stored_tensors() -> list[Variable]:
    """Roles and layers of the chosen run."""
    layers = (
        f"SELECT coalesce(layer::text, 'none') FROM bifurk_v1_tensors WHERE {CHOSEN_RUN} "
        "GROUP BY layer ORDER BY layer NULLS LAST"
    )
    roles = f"SELECT DISTINCT role FROM bifurk_v1_tensors WHERE {CHOSEN_RUN} ORDER BY role"
    return [_several(_stored("role", roles)), _several(_stored("layer", layers))]


def scalars() -> Variable:
    """Names of what the chosen run has logged."""
    query = f"SELECT DISTINCT name FROM bifurk_v1_scalars WHERE {CHOSEN_RUN} ORDER BY name"
    return _several(_stored("scalar", query))


def statistic(current: str) -> Variable:
    """One statistic; it names a column, so that nothing but this list may stand there."""
    options = [_option(name, selected=name == current) for name in STATISTIC_NAMES]
    return (
        builders.CustomVariable("statistic")
        .values(",".join(STATISTIC_NAMES))
        .options(options)
        .current(_option(current, selected=True))
        .allow_custom_value(False)  # noqa: FBT003 - the builder's form
    )


class _Hidden(builders.ConstantVariable):
    """A constant that nobody needs to see."""

    def build(self) -> models.VariableModel:
        """The variable."""
        variable = super().build()
        variable.hide = models.VariableHide.HIDE_VARIABLE
        return variable


def _live(name: str, query: str) -> builders.QueryVariable:
    return _several(builders.QueryVariable(name).datasource(PROMETHEUS).query(query)).all_value(
        ".*"
    )


def _stored(name: str, query: str) -> builders.QueryVariable:
    variable = builders.QueryVariable(name).datasource(POSTGRES).query(query)
    return variable.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)


def _several(variable: builders.QueryVariable) -> builders.QueryVariable:
    refresh = models.VariableRefresh.ON_TIME_RANGE_CHANGED
    return variable.refresh(refresh).multi(True).include_all(True).current(ALL)  # noqa: FBT003


def _option(name: str, *, selected: bool) -> models.VariableOption:
    return models.VariableOption(selected=selected, text=name, value=name)
