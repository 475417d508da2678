"""Pages that act as whoever opens them, uploaded through every door, opened in Chromium.

https://owasp.org/www-community/vulnerabilities/Unrestricted_File_Upload
"""

import re
import subprocess
from urllib.parse import quote, urljoin

import pytest
import requests
from playwright.sync_api import Error, expect

from tests.support.photos import photo
from tests.support.stack import wait_for

# Says where it runs, then deletes all that the visitor has: with the cookie, which the browser
# sends, and the CSRF token, which stands on the page. XML takes it as it is.
SCRIPT = """
    const page = "%s", credentials = "include";
    fetch(page + "/api/uploads?attacked-from=" + origin, {credentials, mode: "no-cors"});
    (async () => {
        const form = await (await fetch(page + "/files/", {credentials})).text();
        const token = form.match(/name="csrfmiddlewaretoken" value="([^"]+)"/)[1];
        const answer = await fetch(page + "/api/uploads", {credentials});
        for (const {id} of await answer.json()) {
            const headers = {"X-CSRFToken": token};
            fetch(page + "/api/uploads/" + id, {credentials, method: "DELETE", headers});
        }
    })();
"""
HTML = "<!DOCTYPE html><title>harmless</title><script>%s</script>"
SVG = '<svg xmlns="http://www.w3.org/2000/svg"><title>harmless</title><script>%s</script></svg>'
EMBED = """async (addresses) => {
    const loading = [];
    for (const address of addresses) {
        for (const name of ["iframe", "object", "embed", "img"]) {
            const element = document.createElement(name);
            loading.push(new Promise((done) => (element.onload = element.onerror = done)));
            element[name === "object" ? "data" : "src"] = address;
            document.body.append(element);
        }
    }
    await Promise.race([Promise.all(loading), new Promise((done) => setTimeout(done, 300))]);
}"""


def pages(stack):
    """The attacks: name, content type, content."""
    script = SCRIPT % stack.page
    return [
        ("attack.html", "text/html", (HTML % script).encode()),
        ("attack.svg", "image/svg+xml", (SVG % script).encode()),
    ]


def picture(stack):
    """An image to whoever decodes it, a page to whoever only looks for one."""
    _, _, page = pages(stack)[0]
    return "attack.html", "text/html", photo(64, 48, "PNG") + page


@pytest.fixture(params=["s3", "disk"], scope="module")
def store(running_stack, request):
    """Where the stack keeps what is uploaded."""
    if request.param == "disk":
        running_stack.up("web", "worker", "beat", USE_S3=False)
    yield request.param
    if request.param == "disk":
        running_stack.up("web", "worker", "beat", USE_S3="")


@pytest.fixture
def victim(visitor, person):
    """A browser in which somebody is known to the app, has a file there, and opens what they
    are sent."""
    visitor.upload_file("mine.txt", b"mine")
    person.is_also(visitor)
    person.asked = []
    person.context.on("request", lambda request: person.asked.append(request.url))
    return person


def attacks(victim):
    """Where scripts ran that called the app."""
    return [url.partition("attacked-from=")[2] for url in victim.asked if "attacked-from=" in url]


def follow(victim, address):
    """Open the address as a click does; whether it is shown. Otherwise it is downloaded."""
    try:
        victim.page.goto(address)
    except Error as error:
        if "Download is starting" not in error.message:
            raise
        return False
    return True


# --- The doors: each gives the addresses at which what it takes may be found ----------------------


class Refused(Exception):
    """The door does not take it. Its argument: the addresses at which it could be nonetheless."""


class Form:
    """The page's form, as it is sent without scripts."""

    def __init__(self, visitor, victim):
        self.visitor = visitor

    def upload(self, kind, attack):
        name, content_type, content = attack
        path, field = ("/", "image") if kind == "image" else ("/files/", "file")
        answer = self.visitor.post(path, files=[(field, (name, content, content_type))])
        if answer.status_code == 422:
            raise Refused([])
        assert answer.status_code == 200, answer.text
        # An image has its link once it is checked.
        return [wait_for(lambda: self.visitor.links(path), 60, "it is ready")[0]]


class Page:
    """The page with its scripts."""

    def __init__(self, visitor, victim):
        self.victim = victim

    def upload(self, kind, attack):
        self.victim.open("/" if kind == "image" else "/files/")
        before = self.victim.cards.count()
        # As a picture, or the page itself refuses to send it.
        name, content_type, content = attack
        self.victim.drop((name, "image/png" if kind == "image" else content_type, content))
        over = self.victim.find("#transfers > [data-state=failed]")
        wait_for(lambda: self.victim.cards.count() > before or over.count(), 60, "it is over")
        if over.count():
            raise Refused([])
        return [self.victim.find("#uploads code").first.inner_text()]


class Api:
    """Tickets, as a program with a token of its own gets them."""

    def __init__(self, visitor, victim):
        self.address = f"{visitor.page}/api/uploads"
        self.session = requests.Session()

    def upload(self, kind, attack):
        name, content_type, content = attack
        claim = {
            "kind": kind,
            "filename": name,
            "size": len(content),
            "content_type": content_type,
        }
        begun = self.session.post(self.address, json=claim, timeout=30).json()
        self.authorise(begun)
        ticket = begun["ticket"]
        files = {"file": ("file", content, content_type)}
        sent = requests.post(ticket["url"], data=ticket["fields"], files=files, timeout=30)
        assert sent.status_code == 204, sent.text
        addresses = [ticket["url"], f"{ticket['url']}/{ticket['fields']['key']}"]
        own = f"{self.address}/{begun['id']}"
        answer = self.session.post(f"{own}/complete", timeout=30)
        if answer.status_code == 422:
            raise Refused(addresses)
        assert answer.status_code == 200, answer.text
        shown = wait_for(
            lambda: (u := self.session.get(own, timeout=30).json())["state"] == "ready" and u,
            20,
            "it is ready",
        )
        return [shown["link"], *filter(None, [shown["thumbnail"]]), *addresses]

    def authorise(self, begun):
        self.session.headers["Authorization"] = f"Bearer {begun['owner_token']}"


class ApiWithCookie(Api):
    """Tickets, as the visitor's own scripts get them."""

    def __init__(self, visitor, victim):
        super().__init__(visitor, victim)
        self.session = visitor.session
        self.session.headers["X-CSRFToken"] = self.session.cookies["csrftoken"]

    def authorise(self, begun):
        pass


class Curl:
    """`curl -T`: always a file."""

    def __init__(self, visitor, victim):
        self.page = visitor.page

    def upload(self, kind, attack):
        name, content_type, content = attack
        command = ["curl", "-sS", "-D", "-", "-H", f"Content-Type: {content_type}", "-T", "-"]
        command.append(f"{self.page}/{quote(name)}")
        sent = subprocess.run(command, input=content, capture_output=True, check=True)
        head, _, link = sent.stdout.decode().replace("\r", "").rpartition("\n\n")
        return [link.strip(), re.search(r"(?i)^x-url-delete: (\S+)", head, re.MULTILINE)[1]]


DOORS = [
    ("file", Form),
    ("file", Page),
    ("file", Api),
    ("file", ApiWithCookie),
    ("file", Curl),
    ("image", Form),
    ("image", Page),
    ("image", Api),
    ("image", ApiWithCookie),
]


@pytest.mark.parametrize(("kind", "door"), DOORS, ids=lambda o: getattr(o, "__name__", o))
def test_it_does_nothing_to_whoever_opens_it(stack, store, visitor, victim, kind, door):
    links, addresses = send_all(door(visitor, victim), kind, stack)
    there = stack.count("upload")
    for link in links:
        page = re.match(r".*/[if]/[\w-]+", link)[0]  # a PUT's has the name after it
        # An image is shown. A file is on a page of ours, as text, and else it is downloaded.
        assert follow(victim, page)
        assert follow(victim, behind(link)) == (kind == "image"), link
        addresses += [page, link, behind(link), f"{page}.svg"]
    for address in addresses:
        follow(victim, address)
    # A page of ours would not embed them, a stranger's may.
    victim.context.route("http://stranger.test/", lambda r: r.fulfill(body="<body>"))
    for embedding in (f"{stack.page}/files/", "http://stranger.test/"):
        victim.page.goto(embedding)
        victim.page.evaluate(EMBED, addresses)
    victim.errors.clear()  # the policy blocked the frames, and said so
    victim.open("/files/")
    expect(victim.find("#uploads h3").filter(has_text="mine.txt")).to_have_count(1)
    assert attacks(victim) == []
    assert stack.count("upload") == there


def send_all(door, kind, stack):
    """The links of what the door takes, and where else the bytes may be found. It takes pages as
    files and not as images; an image that is also a page it takes as the image."""
    links, addresses = [], []
    for attack in [*pages(stack), *([picture(stack)] if kind == "image" else [])]:
        try:
            link, *others = door.upload(kind, attack)
            links.append(link)
        except Refused as refused:
            (others,) = refused.args
        addresses += others
    assert len(links) == (1 if kind == "image" else 2)
    return links, addresses


def behind(link):
    """The signed address that the link leads to."""
    answer = requests.get(link, allow_redirects=False, timeout=30)
    return urljoin(link, answer.headers["Location"])


# --- And the same attacks do act, where they can --------------------------------------------------


@pytest.mark.parametrize("which", [0, 1], ids=["html", "svg"])
def test_it_acts_where_the_app_itself_shows_it(stack, visitor, victim, which):
    _, content_type, content = pages(stack)[which]
    (link,) = visitor.links("/files/")
    victim.context.route(link, lambda r: r.fulfill(body=content, content_type=content_type))
    assert follow(victim, link)
    wait_for(lambda: not stack.count("upload"), 60, "the visitor's file is gone")
    victim.open("/files/")
    assert set(attacks(victim)) == {stack.page}


@pytest.mark.parametrize("which", [0, 1], ids=["html", "svg"])
def test_also_shown_instead_of_downloaded_it_reaches_nothing(stack, store, visitor, victim, which):
    attack = pages(stack)[which]
    (link,) = Form(visitor, victim).upload("file", attack)

    def show(route):
        answer = route.fetch()
        headers = {k: v for k, v in answer.headers.items() if k != "content-disposition"}
        route.fulfill(response=answer, headers=headers | {"content-type": attack[1]})

    address = behind(link)
    victim.context.route(address, show)
    assert follow(victim, address)
    expect(victim.page).to_have_title("harmless")
    victim.open("/files/")
    victim.errors.clear()  # the attack's own
    # In storage's own origin it runs, and reaches nothing; in the app's it does not run.
    origin = address.partition("/s3tasks/")[0]
    assert set(attacks(victim)) == ({origin} if store == "s3" else set())
    assert stack.count("upload") == 2
