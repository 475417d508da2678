"""A client of the API that is no browser."""

import json

import requests
from django.test import Client

from support.multipart import post

HTML = b"<script>fetch('/api/uploads')</script>"


class Program:
    """A client without cookies that keeps its owner_token."""

    def __init__(self, **defaults):
        self.client = Client(enforce_csrf_checks=True, **defaults)
        self.headers = {}

    def call(self, method, path, data=None, **extra):
        content = b"" if data is None else json.dumps(data)
        return self.client.generic(
            method, f"/api/{path}", content, "application/json", headers=self.headers, **extra
        )

    def begin(self, kind="file", size=4, **fields):
        claim = {"kind": kind, "filename": "a.bin", "size": size, "content_type": ""} | fields
        answer = self.call("POST", "uploads", claim)
        if answer.status_code == 201:
            self.headers = {"Authorization": f"Bearer {answer.json()['owner_token']}"}
        return answer

    def upload(self, content, kind="file", **fields):
        """Begin, send, complete; the last answer."""
        begun = self.begin(kind, len(content), **fields).json()
        assert send(begun["ticket"], content) == 204
        return self.call("POST", f"uploads/{begun['id']}/complete")

    def refused(self) -> str:
        """The id of an upload that was refused."""
        begun = self.begin("image", len(HTML)).json()
        send(begun["ticket"], HTML)
        is_problem(self.call("POST", f"uploads/{begun['id']}/complete"), 422)
        return begun["id"]


def send(ticket, content, **changed) -> int:
    """Post the bytes as a browser does: to S3, or to the app itself; the status."""
    fields = ticket["fields"] | changed
    if "/storage/" not in ticket["url"]:
        files = {"file": ("a", content)}
        return requests.post(ticket["url"], data=fields, files=files, timeout=30).status_code
    path = ticket["url"].removeprefix("http://testserver")
    return post(
        Client(enforce_csrf_checks=True), path, *fields.items(), ("file", "a", content)
    ).status_code


def is_problem(answer, status) -> str:
    """Check that the answer is problem details of the status; its sentence."""
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/problem+json"
    assert answer["Cache-Control"] == "no-store"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["type"] == "about:blank"
    assert problem["title"]
    return problem["detail"]
