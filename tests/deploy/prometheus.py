"""A real Prometheus on loopback with the committed configuration, its addresses replaced."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml

from tests.deploy.daemon import Daemon

CONFIG = Path(__file__).parents[2] / "deploy/prometheus/prometheus.yml"


def found(program: str, package: str = "prometheus") -> str:
    """Where a program lies. Without it the test fails in CI, and elsewhere is skipped."""
    path = shutil.which(program)
    if path is None:
        reason = f"{program} is not installed; Debian has it in the package {package}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


def promtool(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """What Prometheus's own checker says."""
    return subprocess.run(
        [found("promtool"), *arguments], input=given, check=False, capture_output=True, text=True
    )


def adapted_config(
    folder: Path, targets: Mapping[str, str], *, token: str, alertmanager: str = ""
) -> Path:
    """The committed configuration, but for addresses, their token and the pace.

    Args:
        targets: host and port by job; a job without one is left out. alertmanager: its host and
            port, if there is one.
    """
    token_file = folder / "token"
    token_file.write_text(f"{token}\n")
    config = yaml.safe_load(CONFIG.read_text())
    pace = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    config["global"] = pace
    config["rule_files"] = [str(CONFIG.parent / pattern) for pattern in config["rule_files"]]
    alertmanagers = [alertmanager] if alertmanager else []
    config["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": alertmanagers}]}]
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    for name, target in targets.items():
        jobs[name]["authorization"]["credentials_file"] = str(token_file)
        jobs[name]["static_configs"] = [{"targets": [target]}]
    config["scrape_configs"] = [jobs[name] for name in targets]
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config))
    return path


class Prometheus:
    """Scrapes every second and evaluates the committed rules, until stopped."""

    def __init__(
        self, folder: Path, targets: Mapping[str, str], *, token: str, alertmanager: str = ""
    ) -> None:
        folder.mkdir()
        config = adapted_config(folder, targets, token=token, alertmanager=alertmanager)
        self._daemon = Daemon(
            found("prometheus"),
            folder,
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
        )
        self.url = self._daemon.url
        self.stop = self._daemon.stop

    def get(self, path: str, **parameters: str) -> Any:
        """The data of an answer of the HTTP API."""
        document = self._daemon.get(f"/api/v1/{path}?{urlencode(parameters)}")
        assert document["status"] == "success", document
        return document["data"]

    def query(self, expression: str) -> dict[tuple[tuple[str, str], ...], float]:
        """An expression's value now: labels to number."""
        return {
            tuple(sorted(series["metric"].items())): float(series["value"][1])
            for series in self.get("query", query=expression)["result"]
        }
