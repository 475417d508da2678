"""A visitor without a browser: forms, tickets and PUTs. Python 3.8 and its standard library."""

from __future__ import annotations

import html
import http.client
import json
import re
import ssl
import uuid
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urljoin, urlsplit

PAGES = {"image": "/", "file": "/files/"}
SECONDS = 60  # the longest that an answer may take

# A router's certificate may be self-signed.
TRUSTING = ssl.create_default_context()
TRUSTING.check_hostname, TRUSTING.verify_mode = False, ssl.CERT_NONE


class Failed(Exception):
    """What did not go as it must."""


class Refused(Failed):
    """An answer that is no success."""

    def __init__(self, what: str, status: int) -> None:
        super().__init__(f"{what} is answered with {status}")
        self.status = status


class Answer:
    """A status, headers, and a body that has been read."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    @property
    def text(self) -> str:
        return self.body.decode()


class Connections:
    """Connections that stay open until nobody has this any more; threads may share it."""

    def __init__(self, *, verify: bool = False) -> None:
        self.idle: dict[str, list[http.client.HTTPConnection]] = {}  # by origin
        self.context = ssl.create_default_context() if verify else TRUSTING

    def __del__(self) -> None:
        for connections in self.idle.values():
            for connection in connections:
                connection.close()

    def ask(self, method: str, url: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        """The answer. Asked again where a connection that was open turns out to be closed."""
        parts = urlsplit(url)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        origin = f"{parts.scheme}://{parts.netloc}"
        idle = self.idle.setdefault(origin, [])
        while True:
            try:
                connection, fresh = idle.pop(), False
            except IndexError:
                connection, fresh = self.connect(origin), True
            try:
                connection.request(method, path or "/", body, headers)
                answer = Answer(connection.getresponse())
            except (http.client.RemoteDisconnected, ConnectionError):
                connection.close()
                if fresh:
                    raise
            except BaseException:
                connection.close()
                raise
            else:
                idle.append(connection)
                return answer

    def connect(self, origin: str) -> http.client.HTTPConnection:
        """A new connection; it is made when it is used."""
        scheme, _, place = origin.partition("://")
        if scheme == "https":
            return http.client.HTTPSConnection(place, timeout=SECONDS, context=self.context)
        return http.client.HTTPConnection(place, timeout=SECONDS)


class Visitor:
    """Somebody new, with their own cookies."""

    def __init__(
        self, page: str, connections: Connections | None = None, *, verify: bool = False
    ) -> None:
        self.page, self.token = page, ""
        self.cookies: dict[str, str] = {}
        self.connections = connections or Connections(verify=verify)

    def ask(
        self,
        method: str,
        url: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """The answer, whatever its status; redirects are not followed. Cookies are the page's."""
        headers = dict(headers or {})
        ours = url.startswith(self.page)
        if ours and self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={v}" for name, v in self.cookies.items())
        answer = self.connections.ask(method, url, body, headers)
        for line in answer.headers.get_all("Set-Cookie", []) if ours else []:
            self.cookies.update((name, m.value) for name, m in SimpleCookie(line).items())
        return answer

    def answers(self, path: str) -> bool:
        """Whether there is an answer of 200."""
        try:
            return self.ask("GET", self.page + path).status == 200
        except (OSError, http.client.HTTPException):
            return False

    def get(self, path: str) -> str:
        """A page."""
        answer = self.ask("GET", self.page + path)
        if answer.status != 200:
            raise Refused(f"GET {path}", answer.status)
        self.token = token_in(answer.text) or self.token
        return answer.text

    def fetch(self, url: str) -> Answer:
        """What a link leads to."""
        answer = self.ask("GET", url)
        if answer.status == 302:
            return self.ask("GET", urljoin(url, answer.headers["Location"]))
        return answer

    def links(self, path: str) -> list[str]:
        """The share links on a page, in its order, each once."""
        return links_in(self.get(path), self.page, path)

    def pictures(self) -> list[str]:
        """The addresses of the pictures on My Images."""
        return pictures_in(self.get("/"))

    # --- Three doors ------------------------------------------------------------------------------

    def fill_in(
        self, kind: str, name: str, content: bytes, /, ttl: int | None = None, **more: str
    ) -> None:
        """Fill in a page's form and submit it; `more` are the form's other fields."""
        path = PAGES[kind]
        if not self.token:
            self.get(path)
        fields = {"csrfmiddlewaretoken": self.token, "ttl": str(ttl or ""), **more}
        body, form = multipart(fields, kind, name, content)
        headers = {"Content-Type": form, "Referer": self.page + path}
        answer = self.ask("POST", self.page + path, body, headers)
        if answer.status != 302:
            raise Refused(f"an upload to {path}", answer.status)

    def announce(self, kind: str, name: str, content: bytes, ttl: int) -> Any:
        """As the page's scripts do, first: the upload's id and the ticket for its bytes."""
        if not self.token:
            self.get("/")
        claim = {
            "kind": kind,
            "filename": name,
            "size": len(content),
            "content_type": "image/jpeg" if kind == "image" else "application/octet-stream",
            "ttl": ttl,
        }
        return self.call("/api/uploads", claim)

    def send(self, ticket: dict[str, Any], name: str, content: bytes) -> None:
        """Then: the bytes, past the app."""
        body, form = multipart(ticket["fields"], "file", name, content)
        answer = self.ask("POST", ticket["url"], body, {"Content-Type": form})
        if answer.status >= 300:
            raise Refused("what is sent to storage", answer.status)

    def complete(self, upload_id: str) -> str:
        """At last: they are there; the upload's link."""
        return str(self.call(f"/api/uploads/{upload_id}/complete")["link"])

    def call(self, path: str, content: Any = None) -> Any:
        """What the API answers."""
        headers = {
            "Content-Type": "application/json",
            "Referer": self.page + "/",
            "X-CSRFToken": self.token,
        }
        body = json.dumps(content).encode() if content else b""
        answer = self.ask("POST", self.page + path, body, headers)
        if answer.status >= 300:
            raise Refused(f"POST {path}", answer.status)
        return json.loads(answer.body)

    def put(self, name: str, content: bytes, ttl: int) -> str:
        """As `curl -T` does; the file's link."""
        answer = self.ask("PUT", f"{self.page}/{name}", content, {"Ttl": str(ttl)})
        if answer.status != 201:
            raise Refused("a PUT", answer.status)
        return answer.text.strip()


def token_in(text: str) -> str:
    """What a page's forms must bring along; blank where it has none."""
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', text)
    return found.group(1) if found else ""


def links_in(text: str, page: str, path: str) -> list[str]:
    """The share links on the page under that path, in its order, each once."""
    letter = "i" if path == "/" else "f"
    return list(dict.fromkeys(re.findall(rf"{page}/{letter}/[\w-]{{22}}", text)))


def pictures_in(text: str) -> list[str]:
    """The addresses of a page's pictures, but for its own."""
    found = re.findall(r'<img[^>]+src="([^"]+)"', text)
    return [html.unescape(src) for src in found if "/static/" not in src]


def multipart(fields: dict[str, str], field: str, name: str, content: bytes) -> tuple[bytes, str]:
    """A form with one file, which comes last, and its content type."""
    boundary = uuid.uuid4().hex
    parts = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'
        for key, value in fields.items()
    )
    head = (
        f'{parts}--{boundary}\r\nContent-Disposition: form-data; name="{field}";'
        f' filename="{name}"\r\nContent-Type: application/octet-stream\r\n\r\n'
    )
    body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
    return body, f"multipart/form-data; boundary={boundary}"
