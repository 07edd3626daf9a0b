"""A real Alertmanager on loopback with the committed configuration, its receivers replaced."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.daemon import Daemon
from tests.deploy.prometheus import found

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
        self._daemon = Daemon(
            found(PACKAGE, PACKAGE),
            folder,
            f"--config.file={_adapted(folder, webhook)}",
            f"--storage.path={folder / 'data'}",
            "--cluster.listen-address=",
        )
        self.url = self._daemon.url
        self.stop = self._daemon.stop

    @property
    def alerts(self) -> list[dict[str, Any]]:
        """What it has firing now."""
        found: list[dict[str, Any]] = self._daemon.get("/api/v2/alerts")
        return found


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
