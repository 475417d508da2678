"""What a container of production may reach and is told, by the compose files; no engine is asked.

tests/prod/test_prod.py knocks at the doors themselves.
"""

import re

import pytest

from tests.support import ROOT
from tests.support.parity import Tree

BOOTSTRAP = ROOT / "services/minio/bootstrap.py"
APP = {"release", "web", "worker", "beat"}
NEIGHBOURS = {
    "postgres": APP,
    "redis": APP | {"flower"},
    "minio": APP | {"minio-bootstrap", "caddy"},
    "flower": {"redis", "web", "caddy"} | APP,
    "caddy": {"web", "flower", "minio", "minio-bootstrap"} | APP,
}


@pytest.fixture(scope="module")
def networks() -> dict[str, set[str]]:
    """Each service's networks in production."""
    tree = Tree(ROOT)
    overlay = tree.services("docker-compose.prod.yml")
    # One that states none would be in a network of all that do not.
    return {name: set(overlay[name]["networks"]) for name in tree.compose.keys() | overlay.keys()}


@pytest.mark.parametrize("service", NEIGHBOURS)
def test_a_service_shares_networks_with_whom_it_has_to_do_alone(networks, service):
    shared = {other for other in networks if networks[other] & networks[service]} - {service}
    assert shared <= NEIGHBOURS[service]


def test_whom_the_app_asks_is_in_a_network_with_it(networks):
    for service in ("postgres", "redis", "minio"):
        for process in APP:
            assert networks[service] & networks[process], (service, process)
    assert networks["caddy"] & networks["web"]
    assert networks["caddy"] & networks["flower"]
    assert networks["flower"] & networks["redis"]


def test_the_bootstrap_is_told_what_it_reads_and_nothing_else():
    services = Tree(ROOT).compose, Tree(ROOT).services("docker-compose.prod.yml")
    given: set[str] = set()
    for service in (each["minio-bootstrap"] for each in services):
        assert "env_file" not in service
        given |= set(service.get("environment", {}))
    read = re.findall(r"os\.environ(?:\.get\(|\[)\"(\w+)\"", BOOTSTRAP.read_text())
    assert given == set(read)


@pytest.mark.parametrize("file", ["docker-compose.yml", "compose/dyno/dyno.yml"])
def test_no_secret_stands_in_a_command(file):
    for name, service in Tree(ROOT).services(file).items():
        said = str([service.get("command"), service.get("entrypoint"), service.get("healthcheck")])
        assert not re.search(r"(?<!\$)\$\{?\w*(PASSWORD|SECRET|AUTH)", said), name
