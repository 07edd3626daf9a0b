"""What compose starts fits together: files, ports, secrets, addresses. No engine is needed."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from distributed.cli.dask_scheduler import main as scheduler_main
from distributed.cli.dask_worker import main as worker_main

from bifurk import __version__
from bifurk_service.notify.addresses import Destinations, check_url
from bifurk_service.notify.rules import Policy
from bifurk_service.pipeline.cluster import check_cluster
from bifurk_service.settings import Settings
from tests.deploy.alertmanager import CONFIG as ALERTMANAGER_CONFIG
from tests.deploy.alertmanager import amtool
from tests.deploy.postgres import running_postgres
from tests.deploy.prometheus import CONFIG, adapted_config, promtool

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
each_service = pytest.mark.parametrize("name", SERVICES)


CLUSTER = {"dask-scheduler", "dask-worker"}
OWN = {"bifurk", "worker", "schema"} | CLUSTER
OTHERS = {"postgres", "prometheus", "grafana", "alertmanager"}
SECRETS = "/run/secrets/"


def test_the_service_comes_with_all_it_needs() -> None:
    assert set(SERVICES) == OWN | OTHERS


@each_service
def test_what_is_mounted_from_here_exists(name: str) -> None:
    for volume in SERVICES[name]["volumes"]:
        source, _, _ = volume.partition(":")
        if source.startswith("."):
            assert (ROOT / source).exists()
            assert volume.endswith(":ro")
        else:
            assert source in COMPOSE["volumes"]


@each_service
def test_only_this_machine_reaches_it(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", ()))


@each_service
def test_its_version_is_pinned_and_its_health_checked(name: str) -> None:
    _, _, tag = SERVICES[name]["image"].rpartition(":")
    assert re.fullmatch(r"v?\d+\.\d+(\.\d+)?", tag)
    own = "HEALTHCHECK" in (ROOT / "deploy/Dockerfile").read_text()
    assert "healthcheck" in SERVICES[name] or (name in OWN and own)


@each_service
def test_it_is_nobody_and_changes_nothing_but_its_volumes(name: str) -> None:
    service = SERVICES[name]
    image_has_user = name in OWN and "USER 8700:8700" in (ROOT / "deploy/Dockerfile").read_text()
    assert image_has_user or service["user"] not in ("root", "0")
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@each_service
def test_every_secret_that_it_reads_is_given_to_it(name: str) -> None:
    service = SERVICES[name]
    read = {
        value.removeprefix(SECRETS)
        for value in service.get("environment", {}).values()
        if (value or "").startswith(SECRETS)
    }
    for volume in service["volumes"]:
        source = ROOT / volume.partition(":")[0]
        files = [source] if source.is_file() else source.rglob("*") if source.is_dir() else []
        for file in files:
            if volume.startswith(".") and file.is_file():
                said = re.sub(r"(?m)^\s*#.*$", "", file.read_text())
                read |= set(re.findall(rf"{SECRETS}([\w-]+)", said))
    assert read == set(service.get("secrets", ()))
    assert read <= set(COMPOSE["secrets"])


def test_no_password_stands_in_what_is_committed() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    for line in text.splitlines():
        name, _, value = line.strip().partition(": ")
        if re.search(r"PASSWORD|TOKEN|SECRET", name):
            assert value.startswith(SECRETS)
    assert "postgresql+psycopg://" not in text


def test_the_operations_make_every_secret() -> None:
    operations = (ROOT / "docs/operations.md").read_text()
    for secret in COMPOSE["secrets"]:
        assert re.search(rf"\b{secret}\b", operations), secret


def test_the_others_wait_for_the_schema() -> None:
    done = {"condition": "service_completed_successfully"}
    for name in ("bifurk", "worker", "grafana"):
        assert SERVICES[name]["depends_on"]["schema"] == done
    assert SERVICES["schema"]["restart"] == "no"
    assert SERVICES["schema"]["depends_on"]["postgres"] == {"condition": "service_healthy"}


def test_server_and_worker_share_database_blobs_and_channels() -> None:
    one, other = SERVICES["bifurk"], SERVICES["worker"]
    for shared in ("environment", "volumes", "secrets", "image"):
        assert one[shared] == other[shared]
    assert one["environment"]["BIFURK_PIPELINE"] == "false"
    settings = {f"BIFURK_{name.upper()}" for name in Settings.model_fields}
    assert set(one["environment"]) <= settings


def test_grafana_s_role_is_made_and_let_in_by_the_name_it_uses() -> None:
    made = (ROOT / "deploy/postgres/roles.sh").read_text()
    source = _source("postgres")
    assert f"CREATE ROLE {source['user']} LOGIN PASSWORD" in made
    assert f"bifurk db grant {source['user']}" in SERVICES["schema"]["command"][0]
    assert source["jsonData"]["database"] == SERVICES["postgres"]["environment"]["POSTGRES_DB"]
    assert source["url"] == "postgres:5432"


def test_grafana_s_role_may_log_in_and_only_read(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("it's secret")
    script = (ROOT / "deploy/postgres/roles.sh").read_text()
    script = script.replace("/run/secrets/grafana-database-password", str(secret))
    with running_postgres() as cluster:
        place = {"PGHOST": "127.0.0.1", "PGPORT": str(cluster.port)}
        names = {"POSTGRES_USER": "postgres", "POSTGRES_DB": "postgres"}
        environment = {**os.environ, **place, **names}
        subprocess.run(["sh", "-c", script], env=environment, check=True)
        with (
            psycopg.connect(cluster.address("postgres", user="grafana")) as connection,
            pytest.raises(psycopg.errors.ReadOnlySqlTransaction),
        ):
            connection.execute("CREATE TEMPORARY TABLE mine (a int)")


def _source(name: str) -> dict[str, Any]:
    path = ROOT / f"deploy/grafana/provisioning/datasources/{name}.yml"
    [source] = yaml.safe_load(path.read_text())["datasources"]
    return dict(source)


def test_the_cluster_is_there_when_asked_for_and_reached_by_the_worker_alone() -> None:
    asked = {name for name, service in SERVICES.items() if "profiles" in service}
    assert asked == CLUSTER
    reached = {
        name for name, service in SERVICES.items() if "cluster" in service.get("networks", ())
    }
    assert reached == CLUSTER | {"worker"}
    assert COMPOSE["networks"]["cluster"]["internal"] is True
    assert not any("ports" in SERVICES[name] for name in CLUSTER)


def test_the_scheduler_is_where_workers_and_documentation_say() -> None:
    scheduler, worker = SERVICES["dask-scheduler"], SERVICES["dask-worker"]
    [address] = [word for word in worker["command"] if word.startswith("tcp://")]
    check_cluster(address)
    host, port = address.removeprefix("tcp://").split(":")
    assert host == "dask-scheduler"
    assert f"--port={port}" in scheduler["command"]
    assert SERVICES["worker"]["environment"]["BIFURK_DASK_SCHEDULER"] is None, "as the shell says"
    for document in ("operations", "cluster"):
        assert f"BIFURK_DASK_SCHEDULER={address}" in (ROOT / f"docs/{document}.md").read_text()


def test_the_cluster_s_workers_find_the_code_and_the_blobs() -> None:
    worker = SERVICES["dask-worker"]
    [module] = [word for word in worker["command"] if word.startswith("--preload=")]
    importlib.import_module(module.removeprefix("--preload="))
    assert f"{SERVICES['worker']['volumes'][0]}:ro" in worker["volumes"]
    installed = (ROOT / "deploy/Dockerfile").read_text()
    assert "${WHEEL}[service,export,postgres,cluster,s3]" in installed


def test_dask_takes_the_words_it_is_started_with() -> None:
    for command, name in ((scheduler_main, "dask-scheduler"), (worker_main, "dask-worker")):
        command.make_context(name, list(SERVICES[name]["command"]))


def test_the_image_carries_the_version_of_the_code() -> None:
    assert {SERVICES[name]["image"] for name in OWN} == {f"bifurk:{__version__}"}


def test_secrets_are_files_that_are_never_committed() -> None:
    ignored = (ROOT / "deploy/secrets/.gitignore").read_text().splitlines()
    assert "*" in ignored
    for secret in COMPOSE["secrets"].values():
        assert secret["file"].startswith("./deploy/secrets/")


def test_prometheus_finds_the_services_and_its_token() -> None:
    jobs = yaml.safe_load(CONFIG.read_text())["scrape_configs"]
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in jobs}
    assert targets == {"bifurk": ["bifurk:8700"], "bifurk-worker": ["worker:8700"]}
    for job in jobs:
        token = Path(job["authorization"]["credentials_file"])
        assert token.parent == Path("/run/secrets")
        assert token.name in SERVICES["prometheus"]["secrets"]
        assert job.get("metrics_path", "/metrics") == "/metrics"


def test_prometheus_finds_its_rules_and_alertmanager() -> None:
    config = yaml.safe_load(CONFIG.read_text())
    assert config["rule_files"] == ["rules/*.yml"]
    mounted = dict(volume.split(":")[:2] for volume in SERVICES["prometheus"]["volumes"])
    assert mounted["./deploy/prometheus/rules"] == "/etc/prometheus/rules"
    [manager] = config["alerting"]["alertmanagers"]
    [target] = manager["static_configs"][0]["targets"]
    host, port = target.split(":")
    assert SERVICES[host]["ports"] == [f"127.0.0.1:{port}:{port}"]


def test_grafana_finds_prometheus_and_its_password() -> None:
    assert _source("prometheus")["url"] == "http://prometheus:9090"
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
    targets = {"bifurk": "bifurk:8700", "bifurk-worker": "worker:8700"}
    config = adapted_config(tmp_path, targets, token="any")
    for arguments in ((str(config),), ("--syntax-only", str(CONFIG))):
        checked = promtool("check", "config", *arguments)
        assert checked.returncode == 0, checked.stderr
