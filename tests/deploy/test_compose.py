"""What compose starts fits together: files, ports, secrets, addresses. No engine is needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from bifurk import __version__
from bifurk_service.notify.addresses import Destinations, check_url
from bifurk_service.notify.rules import Policy
from tests.deploy.alertmanager import CONFIG as ALERTMANAGER_CONFIG
from tests.deploy.alertmanager import amtool
from tests.deploy.prometheus import CONFIG, adapted_config, promtool

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
each_service = pytest.mark.parametrize("name", SERVICES)


def test_the_service_comes_with_prometheus_grafana_and_alertmanager() -> None:
    assert set(SERVICES) == {"bifurk", "prometheus", "grafana", "alertmanager"}


@each_service
def test_what_is_mounted_from_here_exists(name: str) -> None:
    for volume in SERVICES[name]["volumes"]:
        source, _, _ = volume.partition(":")
        if source.startswith("."):
            assert (ROOT / source).exists()
        else:
            assert source in COMPOSE["volumes"]


@each_service
def test_only_this_machine_reaches_it(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name]["ports"])


@each_service
def test_its_version_is_pinned_and_its_health_checked(name: str) -> None:
    _, _, tag = SERVICES[name]["image"].rpartition(":")
    assert tag.removeprefix("v").count(".") == 2
    own = "HEALTHCHECK" in (ROOT / "deploy/Dockerfile").read_text()
    assert "healthcheck" in SERVICES[name] or (name == "bifurk" and own)


def test_the_image_carries_the_version_of_the_code() -> None:
    assert SERVICES["bifurk"]["image"] == f"bifurk:{__version__}"


def test_secrets_are_files_that_are_never_committed() -> None:
    ignored = (ROOT / "deploy/secrets/.gitignore").read_text().splitlines()
    assert "*" in ignored
    for secret in COMPOSE["secrets"].values():
        assert secret["file"].startswith("./deploy/secrets/")


def test_prometheus_finds_the_service_and_its_token() -> None:
    [job] = yaml.safe_load(CONFIG.read_text())["scrape_configs"]
    [target] = job["static_configs"][0]["targets"]
    host, port = target.split(":")
    assert SERVICES[host]["ports"] == [f"127.0.0.1:{port}:{port}"]
    token = Path(job["authorization"]["credentials_file"])
    assert token.parent == Path("/run/secrets")
    assert token.name in SERVICES["prometheus"]["secrets"]
    assert job.get("metrics_path", "/metrics") == "/metrics"


def test_grafana_finds_prometheus_and_its_password() -> None:
    sources = ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml"
    [source] = yaml.safe_load(sources.read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    password = Path(SERVICES["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD__FILE"])
    assert password.name in SERVICES["grafana"]["secrets"]


def test_the_service_finds_alertmanager_and_may_send_there() -> None:
    environment = SERVICES["bifurk"]["environment"]
    mounted = dict(volume.split(":")[1::-1] for volume in SERVICES["bifurk"]["volumes"])
    [channel] = Policy.load(ROOT / mounted[environment["BIFURK_ALERTS_FILE"]]).channels
    place = check_url(channel.url)
    assert SERVICES[place.host]["ports"] == [f"127.0.0.1:{place.port}:{place.port}"]
    allowed = json.loads(environment["BIFURK_NOTIFY_ALLOWED_HOSTS"])
    private = environment["BIFURK_NOTIFY_PRIVATE_ADDRESSES"] == "true"
    found = Destinations(allowed, private=private, lookup=lambda _host, _port: ["172.18.0.4"])
    assert found.address(place) == "172.18.0.4"


def test_amtool_takes_the_configuration() -> None:
    checked = amtool("check-config", str(ALERTMANAGER_CONFIG))
    assert checked.returncode == 0, checked.stderr


def test_promtool_takes_the_configuration(tmp_path: Path) -> None:
    config = adapted_config(tmp_path, target="bifurk:8700", token="any")
    for arguments in ((str(config),), ("--syntax-only", str(CONFIG))):
        checked = promtool("check", "config", *arguments)
        assert checked.returncode == 0, checked.stderr
