"""The reference pages say what the code does: every row, setting, endpoint, command and link."""

from __future__ import annotations

import dataclasses
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import typer

from bifurk.attaching import launch
from bifurk.config import WatchConfig, documentation
from bifurk_service.app import create_app
from bifurk_service.cli import app as command_line
from bifurk_service.detect.registry import WATCHES
from bifurk_service.metrics import METRICS
from bifurk_service.settings import Settings
from bifurk_service.stats.registry import STATISTICS, Statistic
from bifurk_service.stats.rows.profile import PROFILE_STATISTICS, ProfileStatistic

PROJECT = Path(__file__).parents[2]
DOCS = PROJECT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), *PROJECT.glob("*.md")])
CODE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
ENDPOINT = re.compile(r"(GET|PUT|POST|PATCH|DELETE) /")


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def rows(text: str) -> dict[str, list[str]]:
    """Table rows by what stands in their first cell, without its backticks."""
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return {line[0].strip("`"): line for line in cells}


@pytest.mark.parametrize("statistic", STATISTICS, ids=lambda statistic: statistic.name)
def test_a_statistic_is_described_as_the_table_has_it(statistic: Statistic) -> None:
    _, *described = rows(page("statistics.md"))[statistic.name]
    assert described == [
        statistic.formula.replace("|", "\\|"),
        statistic.unit,
        statistic.nature.value,
        statistic.meaning.replace("|", "\\|"),
        statistic.source,
        str(statistic.definition_version),
        f"`bifurk_{statistic.metric}`" if statistic.metric else "",
    ]


@pytest.mark.parametrize("statistic", PROFILE_STATISTICS, ids=lambda statistic: statistic.name)
def test_a_statistic_across_layers_is_described_as_the_table_has_it(
    statistic: ProfileStatistic,
) -> None:
    _, *described = rows(page("statistics.md"))[statistic.name]
    assert described == [
        statistic.formula.replace("|", "\\|"),
        statistic.unit,
        statistic.nature.value,
        statistic.meaning.replace("|", "\\|"),
        statistic.source,
        str(statistic.definition_version),
        "role" if statistic.per_role else "model",
    ]


def test_no_other_statistic_is_described() -> None:
    assert list(rows(page("statistics.md"))) == [
        statistic.name for statistic in (*STATISTICS, *PROFILE_STATISTICS)
    ]


def test_every_page_of_methods_is_in_their_index() -> None:
    index = page("methods/README.md")
    for path in (DOCS / "methods").glob("*.md"):
        assert path.name == "README.md" or f"({path.name})" in index, path.name


def test_every_setting_of_the_service_is_described() -> None:
    described = rows(page("settings.md").partition("## The client")[0])
    assert list(described) == [f"BIFURK_{name.upper()}" for name in Settings.model_fields]
    for name, field in Settings.model_fields.items():
        _, default, meaning = described[f"BIFURK_{name.upper()}"]
        assert meaning == field.description
        if name != "measure_workers":
            assert default == shown(field.default)


def test_every_setting_of_the_client_is_described() -> None:
    described = rows(page("settings.md").partition("## The client")[2])
    assert list(described) == list(documentation())
    for field in dataclasses.fields(WatchConfig):
        _, variable, default, meaning = described[field.name]
        assert variable == f"`BIFURK_{field.name.upper()}`"
        assert meaning == documentation()[field.name].replace("|", "\\|")
        if field.default is not dataclasses.MISSING:
            assert default == shown(field.default)


def shown(default: object) -> str:
    """A default as the pages write it."""
    if default is None:
        return "none"
    return "empty" if default in ((), "") else f"`{default}`"


@pytest.fixture(scope="module")
def interface(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Every endpoint as the OpenAPI document has it, with its query parameters."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("docs"))
    paths: dict[str, Any] = create_app(settings, make_executor=ThreadPoolExecutor).openapi()[
        "paths"
    ]
    return {
        f"{method.upper()} {path}": {
            parameter["name"]
            for parameter in operation.get("parameters", [])
            if parameter["in"] == "query"
        }
        for path, methods in paths.items()
        for method, operation in methods.items()
    }


def test_every_endpoint_is_described_with_its_parameters(interface: dict[str, set[str]]) -> None:
    described = {
        endpoint: set(re.findall(r"`(\w+)`", cells[-1]))
        for endpoint, cells in rows(page("rest.md")).items()
        if ENDPOINT.match(endpoint)
    }
    assert described == interface


def commands() -> dict[str, set[str]]:
    """Every command with its options and, in capitals, its arguments."""
    root = typer.main.get_command(command_line)

    def walk(command: Any, path: str) -> dict[str, set[str]]:
        inner = getattr(command, "commands", None)
        if inner is None:
            return {path: set(filter(None, map(name_of, command.params)))}
        return {
            name: options
            for word, one in inner.items()
            for name, options in walk(one, f"{path} {word}").items()
        }

    return walk(root, "bifurk")


def name_of(parameter: Any) -> str | None:
    """The long option that changes something, or the argument's name as help shows it."""
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name.upper())
    longest = max([*parameter.opts, *parameter.secondary_opts], key=len)
    return None if longest in SHARED else longest


SHARED = {"--help", "--url", "--token"}
"""Of many commands, and described once."""


def test_every_command_is_described_with_its_options() -> None:
    text = page("cli.md")
    described = {
        command: set(re.findall(r"`(--[a-z-]+|[A-Z_]+)`", cells[-1]))
        for command, cells in rows(text).items()
    }
    assert described == commands()
    assert all(f"`{option}`" in text for option in SHARED - {"--help"})


def test_every_option_of_watching_a_script_is_described() -> None:
    options = {
        option
        for action in launch.parser()._actions
        for option in action.option_strings
        if option.startswith("--")
    }
    described = set(
        re.findall(r"`(--[a-z-]+)`", "".join(re.findall(r"^\| .*", page("run.md"), re.MULTILINE)))
    )
    assert described == options - {"--help"}


def test_every_detector_has_a_page() -> None:
    pages = {path.stem.replace("-", "_") for path in (DOCS / "detectors").glob("*.md")}
    assert {watch.kind for watch in WATCHES} <= pages


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_every_metric_is_described(metric: Any) -> None:
    assert f"`{metric.name}`" in page("metrics.md")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_every_link_leads_to_a_file_that_is_there(path: Path) -> None:
    text = CODE.sub("", path.read_text(encoding="utf-8"))
    for target in LINK.findall(text):
        if "://" not in target and not target.startswith(("#", "mailto:")):
            assert (path.parent / target.partition("#")[0]).exists(), target
