"""A real Alertmanager on loopback with the committed configuration, its receivers replaced."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import urllib3
import yaml

from tests.deploy.prometheus import found
from tests.ports import own_port
from tests.server import DEADLINE_SECONDS, wait_for

CONFIG = Path(__file__).parents[2] / "deploy/alertmanager/alertmanager.yml"
PACKAGE = "prometheus-alertmanager"


def amtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What Alertmanager's own checker says."""
    return subprocess.run(
        [found("amtool", PACKAGE), *arguments], check=False, capture_output=True, text=True
    )


class Alertmanager:
    """Takes alerts and passes them on to one webhook, until stopped."""

    def __init__(self, folder: Path, *, webhook: str) -> None:
        folder.mkdir()
        port = own_port()
        self.url = f"http://127.0.0.1:{port}"
        self._log = folder / "log"
        self._output = self._log.open("wb")
        self._process = subprocess.Popen(
            [
                found(PACKAGE, PACKAGE),
                f"--config.file={_adapted(folder, webhook)}",
                f"--storage.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--cluster.listen-address=",
            ],
            stdout=self._output,
            stderr=self._output,
        )
        self._http = urllib3.PoolManager(retries=False, timeout=10)
        wait_for(self._ready, "Alertmanager")

    @property
    def alerts(self) -> list[dict[str, Any]]:
        """What it has firing now."""
        found: list[dict[str, Any]] = json.loads(
            self._http.request("GET", f"{self.url}/api/v2/alerts").data
        )
        return found

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


def _adapted(folder: Path, webhook: str) -> Path:
    """The committed configuration, but for where its receivers lead and the pace."""
    config = yaml.safe_load(CONFIG.read_text())
    config["route"] |= {"group_wait": "0s", "group_interval": "1s"}
    config["receivers"] = [
        {"name": receiver["name"], "webhook_configs": [{"url": webhook}]}
        for receiver in config["receivers"]
    ]
    path = folder / "alertmanager.yml"
    path.write_text(yaml.safe_dump(config))
    return path
