"""Production on one server: what is published and what is closed, kills, a power cut, more of each.

A copy of the tree, a Compose project and ports of its own; Caddy signs its certificate itself, as
the name is one of localhost. An engine that others use can't be stopped here: in its place every
process of every container is killed at once, and what the engine does then it does at boot as well.
"""

import json
import random
import re
import socket
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from decouple import RepositoryEnv

from client.smoke import smoke
from client.visitor import Visitor as Form
from tests.support.photos import photo
from tests.support.stack import (
    Stack,
    Visitor,
    copy_tree,
    free_ports,
    remove_images,
    set_variables,
    wait_for,
    why_no_engine,
    without_decouple_files,
)

SITE = "drop.localhost"
LASTING = {"beat", "caddy", "flower", "minio", "postgres", "redis", "web", "worker"}
VISITORS = 4  # at once
KEY = "11111111-1111-4111-8111-111111111111"
# Which of these addresses answer, in a container's network.
KNOCK = """
import ast, socket, sys
for host, port in ast.literal_eval(sys.argv[1]):
    try:
        socket.create_connection((host, port), timeout=2).close()
        print(host)
    except OSError:
        pass
"""
FLOWER = ("/", "/api/tasks", "/healthcheck", "/metrics", "/static/css/flower.css", "/nothing")


class Server(Stack):
    """`make prod` with MinIO, from outside and, for the faults, from inside."""

    def __init__(self, folder: Path, project: str) -> None:
        self.folder, self.project = folder, f"{project}-prod"
        self.environment = without_decouple_files(COMPOSE_PROJECT_NAME=project)
        self.run("make", ".env.production")
        self.http, self.https = free_ports(2)
        set_variables(
            folder / ".env.production",
            SITE_ADDRESS=SITE,
            STORAGE_ADDRESS=f"s3.{SITE}",
            HTTP_PORT=self.http,
            HTTPS_PORT=self.https,
            UPLOAD_RATE=1_000_000,  # 0 would ask Redis nothing
        )
        self.page = f"https://{SITE}:{self.https}"

    @property
    def storage(self) -> str:
        return f"https://s3.{SITE}:{self.https}"

    @property
    def storage_itself(self) -> str:
        (container,) = [c for c in self.lasting().values() if c["Name"].endswith("-minio-1")]
        (network,) = container["NetworkSettings"]["Networks"].values()
        return f"http://{network['IPAddress']}:9000"

    @property
    def env(self) -> dict[str, str]:
        return RepositoryEnv(str(self.folder / ".env.production")).data

    def prod(self, arguments: str = "") -> str:
        """`make prod`; what it printed."""
        return self.run("make", "-s", "prod", f"ARGS={arguments}")

    def compose(self, *command: str) -> str:
        options = f"--project-name {self.project} --env-file .env.production"
        options += " --profile minio --file docker-compose.yml --file docker-compose.prod.yml"
        return self.run("docker", "compose", *options.split(), *command)

    def logs(self, service: str, *options: str) -> list[str]:
        """What a service's containers said, each line after its container's name."""
        # Some versions of Compose erase the line first, on a terminal or not.
        return self.compose("logs", *options, service).replace("\x1b[2K", "").splitlines()

    def containers(self) -> list[dict]:
        """What the engine says of each container."""
        found = self.compose("ps", "--all", "--quiet").split()
        return json.loads(self.run("docker", "inspect", *found))

    def lasting(self) -> dict[str, dict]:
        """Those that stay up, by name."""
        return {
            container["Name"]: container
            for container in self.containers()
            if container["Config"]["Labels"]["com.docker.compose.service"] in LASTING
        }

    def cut_power(self, *names: str) -> None:
        """SIGKILL to every process in these containers at once, in no order."""
        # Not by the engine's own `kill`, after which it would start none of them again.
        kill = [["docker", "exec", name, "sh", "-c", "kill -9 -1"] for name in names]
        random.shuffle(kill)
        with ThreadPoolExecutor(len(kill)) as pool:
            list(pool.map(lambda command: self.run(*command, check=False), kill))

    def is_back(self, before: dict[str, dict], seconds: float = 60) -> None:
        """Wait until each of these containers was started anew, by itself, and is well."""

        def back() -> bool:
            now = self.lasting()
            return all(
                now[name]["RestartCount"] > then["RestartCount"]
                and now[name]["State"]["Status"] == "running"
                and now[name]["State"].get("Health", {}).get("Status", "healthy") == "healthy"
                for name, then in before.items()
            )

        wait_for(back, seconds, f"{', '.join(before)} are back")
        wait_for(lambda: Form(self.page).answers("/readyz"), 60, "the site is ready")

    def loses_nothing(self) -> None:
        """Wait until nothing is in the works or due, and look whether each row has its objects."""
        # An upload that was cut stays pending for minutes, so that rows and objects may differ.
        for rows in (
            ("upload", "state = 'checking'"),
            ("upload", "expires_at < now()"),
            ("purgekey", "not_before < now()"),
        ):
            wait_for(lambda rows=rows: not self.count(*rows), 60, f"no {' where '.join(rows)}")
        assert self.rows_objects() <= self.objects()


def fetch(url: str, method: str = "GET", **options) -> requests.Response:
    """The answer, whatever it is; redirects are followed."""
    return requests.request(method, url, timeout=30, **options)


def as_it_is(server: Server, method: str, path: str, **options) -> requests.Response:
    """Storage's answer to a path that no client tidies up before it sends it."""
    request = requests.Request(method, server.storage, **options).prepare()
    request.url = server.storage + path
    with requests.Session() as session:
        return session.send(request, verify=str(server.folder / "root.crt"), timeout=30)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The server, up; its containers, volumes and images go with the module."""
    if reason := why_no_engine():
        pytest.skip(reason)
    folder = copy_tree(tmp_path_factory.mktemp("prod"))
    server = Server(folder, f"s3tasks-test-{uuid.uuid4().hex[:8]}")
    lookup = socket.getaddrinfo

    def localhost(name, *arguments, **options):
        """As browsers have it: every name under localhost is this machine."""
        local = isinstance(name, str) and name.endswith(".localhost")
        return lookup("127.0.0.1" if local else name, *arguments, **options)

    try:
        said = server.prod()
        print(said)
        assert f"{server.page}/flower/" in said
        root = folder / "root.crt"
        root.write_text(
            server.compose("exec", "caddy", "cat", "/data/caddy/pki/authorities/local/root.crt")
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(socket, "getaddrinfo", localhost)
            for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE"):
                patch.setenv(name, str(root))
            yield server
    finally:
        server.prod("down --volumes")
        remove_images(server.project)


# --- From outside -------------------------------------------------------------------------------


def test_the_smoke_flow_passes_over_https_with_the_certificate_verified(server):
    assert "was gone then" in smoke(server.page, server.storage, verify=True)


def test_http_leads_to_https_on_the_same_host(server):
    answer = fetch(f"http://{SITE}:{server.http}/files/?a=b", allow_redirects=False)
    assert (answer.status_code, answer.headers["Location"]) == (308, f"{server.page}/files/?a=b")


@pytest.mark.parametrize("path", ["/", "/files/", "/nothing", "/api/docs", "/admin/login/"])
def test_a_page_has_the_headers_of_an_a_plus(server, path):
    session = requests.Session()
    headers = session.get(server.page + path).headers
    policy = dict(
        rule.strip().split(" ", 1) for rule in headers["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["form-action"] == policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["img-src"] == policy["connect-src"] == f"'self' {server.storage}"
    year = 365 * 24 * 60 * 60
    assert headers["Strict-Transport-Security"] == f"max-age={year}"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "camera=()" in headers["Permissions-Policy"]
    for cookie in session.cookies:
        assert cookie.secure
        assert cookie.get_nonstandard_attr("SameSite") == "Lax"


@pytest.mark.parametrize("path", FLOWER)
def test_flower_is_closed_without_its_password(server, path):
    address = f"{server.page}/flower{path}"
    user, password = server.env["FLOWER_BASIC_AUTH"].split(":")

    for auth in (None, (user, "guessed"), ("", "")):
        answer = fetch(address, auth=auth)
        assert answer.status_code == 401
        assert "Basic" in answer.headers["WWW-Authenticate"]
    answer = fetch(address, auth=(user, password))

    assert answer.status_code == (404 if path == "/nothing" else 200)
    assert answer.headers["Strict-Transport-Security"]
    assert answer.headers["Content-Security-Policy"] == "frame-ancestors 'none'"


def test_only_caddy_is_published(server):
    published = {}
    for container in server.containers():
        ports = {
            (port, binding["HostPort"])
            for port, bindings in container["NetworkSettings"]["Ports"].items()
            for binding in bindings or ()
        }
        if ports:
            published[container["Config"]["Labels"]["com.docker.compose.service"]] = ports
    http, https = str(server.http), str(server.https)
    assert published == {
        "caddy": {(f"{http}/tcp", http), (f"{https}/tcp", https), (f"{https}/udp", https)}
    }


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/s3tasks",
        "/s3tasks/",
        "/s3tasks/?list-type=2",
        "/s3tasks/?list-type=2&X-Amz-Signature=00",
        "/s3tasks/?location&X-Amz-Signature=00",
        "/s3tasks/?uploads&X-Amz-Signature=00",
        "/s3tasks/files/?list-type=2&X-Amz-Signature=00",
        # Unsigned, or signed, and no browser's business.
        f"/s3tasks/files/{KEY}",
        f"/s3tasks/files/{KEY}?X-Amz-Date=20260101T000000Z",
        f"/s3tasks/incoming/{KEY}?X-Amz-Signature=00",
        "/s3tasks/marker?X-Amz-Signature=00",
        "/minio/admin/v3/info",
        "/minio/admin/v3/info?X-Amz-Signature=00",
        "/minio/health/live",
        "/minio/v2/metrics/cluster",
        "/minio/console/",
        "/s3tasks/../minio/health/live",
        "/s3tasks/%2e%2e/minio/health/live",
        "//minio/health/live",
        f"/other-bucket/files/{KEY}?X-Amz-Signature=00",
        # What a proxy resolves and MinIO does not, or the other way round.
        f"/minio/health/live/../../../s3tasks/files/{KEY}?X-Amz-Signature=00",
        f"/minio/admin/v3/info/../../../../s3tasks/files/{KEY}?X-Amz-Signature=00",
        f"/minio/admin/v3/info/%2e%2e/%2e%2e/%2e%2e/%2e%2e/s3tasks/files/{KEY}?X-Amz-Signature=00",
        f"/minio/admin/v3/info/..%2f..%2f..%2f..%2fs3tasks/files/{KEY}?X-Amz-Signature=00",
        f"/s3tasks/files/../incoming/{KEY}?X-Amz-Signature=00",
        f"/s3tasks/files/..%2fincoming%2f{KEY}?X-Amz-Signature=00",
        f"//s3tasks/files/{KEY}?X-Amz-Signature=00",
        f"/s3tasks//files/{KEY}?X-Amz-Signature=00",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
def test_of_minio_nothing_is_public_that_no_browser_needs(server, method, path):
    answer = as_it_is(server, method, path)
    assert answer.status_code == 404
    assert answer.headers["Server"] == "Caddy"


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/", {"Action": "AssumeRole", "Version": "2011-06-15"}),
        ("/?Action=AssumeRole&Version=2011-06-15", {}),
        ("/s3tasks", {"Action": "AssumeRole", "Version": "2011-06-15"}),
        ("/s3tasks?delete", {}),
        ("/s3tasks?;delete", {}),
        (f"/s3tasks/files/{KEY}?uploads", {}),
        (f"/s3tasks/files/{KEY}?uploadId=1&X-Amz-Signature=00", {}),
    ],
)
def test_of_what_is_posted_only_a_form_to_the_bucket_gets_through(server, path, form):
    answer = as_it_is(server, "POST", path, data=form, files=None if form else {"a": b"1"})
    assert (answer.status_code, answer.headers["Server"]) == (404, "Caddy")


def test_the_bucket_shows_nothing_without_its_signature_and_runs_no_script(server):
    for path in (f"images/{KEY}", f"thumbs/{KEY}", f"files/{KEY}", f"zips/{KEY}"):
        answer = fetch(f"{server.storage}/s3tasks/{path}?X-Amz-Signature=00")
        assert answer.status_code == 403, path
        assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    for method in ("PUT", "DELETE", "PATCH"):
        signed = f"{server.storage}/s3tasks/files/{KEY}?X-Amz-Signature=00"
        assert fetch(signed, method).status_code == 404


def test_the_keys_of_the_app_open_nothing_by_the_name_that_browsers_use(server):
    import boto3
    from botocore.exceptions import ClientError

    client = boto3.client(
        "s3",
        endpoint_url=server.storage,
        aws_access_key_id=server.env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=server.env["AWS_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
    )
    for forbidden in (
        lambda: client.list_objects_v2(Bucket="s3tasks"),
        lambda: client.get_object(Bucket="s3tasks", Key="marker"),
        lambda: client.put_object(Bucket="s3tasks", Key=f"files/{KEY}", Body=b"1"),
        lambda: client.delete_objects(Bucket="s3tasks", Delete={"Objects": [{"Key": "marker"}]}),
    ):
        with pytest.raises(ClientError, match=r"404|Not Found"):
            forbidden()


def test_a_browser_may_send_from_the_site_and_from_nowhere_else(server):
    claim = {"kind": "file", "filename": "a.bin", "size": 4, "content_type": ""}
    begun = fetch(f"{server.page}/api/uploads", "POST", json=claim).json()
    ticket, owner = begun["ticket"], {"Authorization": f"Bearer {begun['owner_token']}"}
    assert ticket["url"].startswith(f"{server.storage}/s3tasks")

    def sent_from(origin: str) -> requests.Response:
        file = {"file": ("a", b"1234")}
        headers = {"Origin": origin}
        return fetch(ticket["url"], "POST", data=ticket["fields"], files=file, headers=headers)

    elsewhere, here = sent_from("https://elsewhere.example"), sent_from(server.page)

    assert "Access-Control-Allow-Origin" not in elsewhere.headers
    assert here.status_code == 204
    assert here.headers["Access-Control-Allow-Origin"] == server.page
    complete = fetch(f"{server.page}/api/uploads/{begun['id']}/complete", "POST", headers=owner)
    assert fetch(complete.json()["link"]).content == b"1234"


def test_what_a_visitor_forges_counts_for_nothing(server):
    forged = {"X-Forwarded-For": "203.0.113.9", "X-Request-ID": "forged-by-a-visitor-0123456789"}
    answer = fetch(f"{server.page}/a.txt", "PUT", data=b"text", headers=forged)
    assert answer.status_code == 201
    keys = server.compose("exec", "redis", "redis-cli", "keys", "rate:*")
    assert keys.strip()
    assert "203.0.113.9" not in keys
    logs = server.logs("web", "--no-log-prefix")
    lines = [json.loads(line) for line in logs if '"PUT ' in line]
    assert re.fullmatch(r"[0-9a-f-]{36}", lines[-1]["request_id"])
    assert not [line for line in logs if "forged" in line]


# --- From inside --------------------------------------------------------------------------------


def test_each_container_has_its_limits_and_no_privileges(server):
    for container in server.containers():
        name, host = container["Name"], container["HostConfig"]
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"], name
        assert not host["CapAdd"], name
        assert not host["Privileged"], name
        assert "no-new-privileges:true" in host["SecurityOpt"], name
        assert 0 < host["PidsLimit"] <= 256, name
        assert 0 < host["Memory"] <= 2**31, name
        assert container["Config"]["User"].split(":")[0] not in ("", "0", "root"), name
        assert host["LogConfig"]["Type"] == "local", name
    assert {c["HostConfig"]["RestartPolicy"]["Name"] for c in server.lasting().values()} == {
        "unless-stopped"
    }


def test_nothing_of_the_checkout_is_in_the_app(server):
    for container in server.containers():
        service = container["Config"]["Labels"]["com.docker.compose.service"]
        bound = [mount["Source"] for mount in container["Mounts"] if mount["Type"] == "bind"]
        assert not bound or service in ("postgres", "redis", "minio-bootstrap"), service
        assert "RELOAD=1" not in container["Config"]["Env"]


@pytest.mark.parametrize(
    ("service", "others"),
    [
        ("flower", {"postgres", "minio"}),
        ("caddy", {"postgres", "redis"}),
        ("minio", {"postgres", "redis", "flower"}),
        ("postgres", {"redis", "minio", "flower", "caddy"}),
        ("redis", {"postgres", "minio", "caddy"}),  # Flower asks it, in a network of both
    ],
)
def test_a_container_reaches_only_what_it_has_to_do_with(server, service, others):
    ports = {"postgres": 5432, "redis": 6379, "minio": 9000, "flower": 5555, "caddy": server.https}
    containers = {
        c["Config"]["Labels"]["com.docker.compose.service"]: c for c in server.lasting().values()
    }
    asked = []
    for other in others:
        networks = containers[other]["NetworkSettings"]["Networks"].values()
        # By name and by number.
        names = [other, *(network["IPAddress"] for network in networks)]
        asked += [(name, ports[other]) for name in names]
    inside = ["--network", f"container:{containers[service]['Name'].strip('/')}"]
    image = f"{server.project}-app"
    reached = server.run("docker", "run", "--rm", *inside, image, "python", "-c", KNOCK, str(asked))
    assert reached == ""


def test_whom_it_has_to_do_with_it_reaches(server):
    (web,) = [name for name in server.lasting() if name.endswith("-web-1")]
    asked = [("postgres", 5432), ("redis", 6379), ("minio", 9000), ("flower", 5555)]
    inside = ["--network", f"container:{web.strip('/')}"]
    image = f"{server.project}-app"
    reached = server.run("docker", "run", "--rm", *inside, image, "python", "-c", KNOCK, str(asked))
    assert reached.split() == ["postgres", "redis", "minio", "flower"]


def test_a_container_is_told_no_secret_that_is_not_its_own(server):
    own = {
        "minio-bootstrap": {"AWS_SECRET_ACCESS_KEY", "MINIO_ROOT_PASSWORD"},
        "minio": {"MINIO_ROOT_PASSWORD"},
        "postgres": {"POSTGRES_PASSWORD"},
        "redis": {"REDIS_PASSWORD"},
        "flower": {"REDIS_PASSWORD", "FLOWER_BASIC_AUTH"},
        "caddy": set(),
        "app": {"SECRET_KEY", "POSTGRES_PASSWORD", "REDIS_PASSWORD", "AWS_SECRET_ACCESS_KEY"},
    }
    secrets = {name: server.env[name] for name in set().union(*own.values())}
    for container in server.containers():
        service = container["Config"]["Labels"]["com.docker.compose.service"]
        told = "\n".join(container["Config"]["Env"])
        found = {name for name, value in secrets.items() if value in told}
        assert found == own.get(service, own["app"]), service


def test_no_secret_stands_in_a_command_or_a_log(server):
    secrets = {
        server.env[n] for n in ("REDIS_PASSWORD", "POSTGRES_PASSWORD", "MINIO_ROOT_PASSWORD")
    }
    for container in server.containers():
        command = json.dumps([container["Path"], container["Args"]])
        assert not [secret for secret in secrets if secret in command], container["Name"]
    for service in sorted(LASTING):
        look = "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"
        said = server.compose("exec", "-T", service, "sh", "-c", f"{look} 2>/dev/null || true")
        said += "\n".join(server.logs(service))
        assert not [secret for secret in secrets if secret in said], service


def test_redis_answers_nobody_without_its_password(server):
    ask = ["exec", "-T", "redis", "env", "-u", "REDISCLI_AUTH", "redis-cli", "keys", "*"]
    assert "NOAUTH" in server.compose(*ask)


@pytest.mark.parametrize("service", sorted(LASTING))
def test_a_process_can_write_nowhere_but_into_its_own_data(server, service):
    look = """
    for folder in / /etc /srv /srv/app /usr/bin /var; do
      if touch "$folder/written" 2>/dev/null; then echo "wrote into $folder"; fi
    done
    grep -E '^(CapEff|CapPrm|CapBnd|NoNewPrivs):' /proc/1/status
    grep " ${TMPDIR:-/tmp} " /proc/mounts | cut -d' ' -f3
    """
    said = server.compose("exec", "-T", service, "sh", "-c", look).split()

    assert "wrote" not in said
    state = dict(zip(said[0:8:2], said[1:8:2], strict=True))
    assert state["NoNewPrivs:"] == "1"
    assert {state[f"Cap{kind}:"] for kind in ("Eff", "Prm", "Bnd")} == {"0" * 16}
    # What visitors send is spooled on the disk, not in memory.
    if service in ("web", "worker"):
        assert said[8:]  # a mount of its own
        assert "tmpfs" not in said[8:]


def test_what_caddy_says_of_a_cut_download_holds_no_address(server):
    visitor = Visitor(server.page)
    visitor.upload_file("a.bin", bytes(32 * 1024 * 1024))
    (link,) = visitor.links("/files/")
    with fetch(link, stream=True) as answer:
        assert answer.raw.read(1) == b"\0"
        signature = re.search(r"Signature=(\w+)", answer.url)[1]
    wait_for(
        lambda: any("aborting" in line for line in server.logs("caddy")), 60, "Caddy's line of it"
    )
    assert not [line for line in server.logs("caddy") if signature in line]


# --- Faults -------------------------------------------------------------------------------------


def test_web_and_worker_come_back_by_themselves(server):
    visitor, content = Visitor(server.page), photo(640, 480)
    visitor.upload_images(("a.jpg", content))
    visitor.upload_file("a.txt", b"kept")
    (link,) = visitor.links("/files/")
    killed = {n: c for n, c in server.lasting().items() if re.search("-(web|worker)-1$", n)}
    assert len(killed) == 2

    server.cut_power(*killed)

    server.is_back(killed)
    assert fetch(link).content == b"kept"
    visitor.wait_for_pictures(1, seconds=40)
    server.loses_nothing()


def test_after_a_power_cut_all_is_back_and_nothing_with_time_left_is_lost(server):
    visitors = [Visitor(server.page) for _ in range(4)]
    for visitor in visitors:
        assert visitor.upload_images(("a.jpg", photo(640, 480)), ttl=600).status_code == 200
        visitor.wait_for_pictures(1)
        visitor.upload_file("a.txt", b"kept", ttl=600)
    short = Visitor(server.page)
    short.upload_file("cut.txt", b"gone", ttl=5)
    (gone,) = short.links("/files/")
    ((key,),) = server.sql("SELECT id FROM uploads_upload WHERE filename = 'cut.txt'")
    late = Visitor(server.page)  # answered, and not made safe yet
    assert late.upload_images(("late.jpg", photo(4000, 3000)), ttl=600).status_code == 200
    links = {v: [*v.links("/"), *v.links("/files/")] for v in visitors}
    before = server.lasting()

    server.cut_power(*before)

    server.is_back(before)
    for visitor, those in links.items():
        assert len(those) == 2
        assert [fetch(link).status_code for link in those] == [200, 200]
        assert fetch(visitor.links("/files/")[0]).content == b"kept"
    late.wait_for_pictures(1, seconds=60)
    assert fetch(gone).status_code == 404
    server.loses_nothing()
    assert f"files/{key}" not in server.objects()


# --- More of each -------------------------------------------------------------------------------


def test_more_of_each_share_the_work_and_nothing_is_lost(server):
    content, stop = photo(160, 120), threading.Event()
    links, refused, more = [], [], {"web": 3, "worker": 4, "beat": 2}  # two beats by mistake

    def upload(_: int) -> None:
        """Upload for as long as the number of containers changes, each time as somebody new."""
        while not stop.is_set():
            visitor = Visitor(server.page)
            answers = [
                visitor.upload_file("a.txt", b"kept", ttl=600),
                visitor.upload_images(("a.jpg", content), ttl=600),
                Visitor(server.page).upload_file("short.txt", b"short", ttl=5),
            ]
            refused.extend(answer for answer in answers if answer.status_code != 200)
            links.extend(visitor.links("/files/"))

    def served() -> set[str]:
        """The web containers that answered lately."""
        logs = server.logs("web", "--since", "5s")
        return {line.split()[0] for line in logs if '"POST /' in line}

    with ThreadPoolExecutor(VISITORS) as pool:
        uploads = [pool.submit(upload, number) for number in range(VISITORS)]
        try:
            server.prod(" ".join(f"--scale {name}={count}" for name, count in more.items()))
            wait_for(lambda: served() == {"web-1", "web-2", "web-3"}, 60, "each web takes uploads")
            assert refused == []
            # One dies under load, and others are stopped: what each had in hand may be refused.
            killed = {n: c for n, c in server.lasting().items() if n.endswith("-web-2")}
            server.cut_power(*killed)
            server.is_back(killed)
            one = [word for name in more for word in ("--scale", f"{name}=1")]
            server.compose("up", "--detach", "--no-build", "--no-deps", *one, *more)
            assert len(refused) <= 2 * VISITORS
        finally:
            stop.set()
        for each in uploads:
            each.result()

    assert len(server.lasting()) == len(LASTING)
    assert len(links) > 10
    with ThreadPoolExecutor(8) as pool:
        answers = pool.map(lambda link: fetch(link).text, links)
    assert set(answers) == {"kept"}
    server.loses_nothing()
    assert server.sql("SELECT name, last_error FROM uploads_sweep WHERE last_error <> ''") == []


# --- A changed key ------------------------------------------------------------------------------


def test_a_changed_key_never_takes_the_running_sites_storage_away(server):
    former = server.env["AWS_ACCESS_KEY_ID"]
    file = server.folder / ".env.production"

    def stores() -> None:
        """The site that runs takes a file and hands it out."""
        answer = fetch(f"{server.page}/a.txt", "PUT", data=b"kept", headers={"Ttl": "60"})
        assert answer.status_code == 201, answer.text
        assert fetch(answer.text.strip()).content == b"kept"

    before = file.read_text()
    set_variables(file, AWS_SECRET_ACCESS_KEY=uuid.uuid4().hex)
    try:
        with pytest.raises(AssertionError, match="a new secret needs a new AWS_ACCESS_KEY_ID, so"):
            server.prod()
        stores()
    finally:  # or the tests after this one would run with a key that storage refuses
        file.write_text(before)

    set_variables(file, AWS_ACCESS_KEY_ID="another", AWS_SECRET_ACCESS_KEY=uuid.uuid4().hex)
    server.compose("run", "--rm", "release")  # as far as that, and no further
    stores()
    said = server.prod()

    assert f"user {former}: removed" in said
    stores()
