"""A real Prometheus on loopback with the committed configuration, its target replaced."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
import urllib3
import yaml

from tests.server import DEADLINE_SECONDS, Server, wait_for

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


def adapted_config(folder: Path, *, target: str, token: str) -> Path:
    """The committed configuration, but for the target, its token and the pace."""
    token_file = folder / "token"
    token_file.write_text(f"{token}\n")
    config = yaml.safe_load(CONFIG.read_text())
    config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s"}
    [job] = config["scrape_configs"]
    job["authorization"]["credentials_file"] = str(token_file)
    job["static_configs"] = [{"targets": [target]}]
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config))
    return path


class Prometheus:
    """Scrapes one bifurk server every second, until stopped."""

    def __init__(self, folder: Path, server: Server, *, token: str) -> None:
        folder.mkdir()
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._log = folder / "log"
        self._output = self._log.open("wb")
        config = adapted_config(folder, target=urlsplit(server.url).netloc, token=token)
        self._process = subprocess.Popen(
            [
                found("prometheus"),
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=self._output,
            stderr=self._output,
        )
        self._http = urllib3.PoolManager(retries=False, timeout=10)
        wait_for(self._ready, "Prometheus")

    def get(self, path: str, **parameters: str) -> Any:
        """The data of an answer of the HTTP API."""
        answer = self._http.request("GET", f"{self.url}/api/v1/{path}?{urlencode(parameters)}")
        document = json.loads(answer.data)
        assert document["status"] == "success", document
        return document["data"]

    def query(self, expression: str) -> dict[tuple[tuple[str, str], ...], float]:
        """An expression's value now: labels to number."""
        return {
            tuple(sorted(series["metric"].items())): float(series["value"][1])
            for series in self.get("query", query=expression)["result"]
        }

    def stop(self) -> None:
        """Ends it and waits."""
        self._process.terminate()
        self._process.wait(timeout=DEADLINE_SECONDS)
        self._output.close()
        self._http.clear()

    def _ready(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        try:
            return self._http.request("GET", f"{self.url}/-/ready").status == 200
        except urllib3.exceptions.HTTPError:
            return False


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
