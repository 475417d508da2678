"""The zip of a link's files, as its receiver waits for it."""

import time
import zipfile

import pytest
from playwright.sync_api import Download, expect

FILES = ("a.txt", "ção 日本.txt")


@pytest.mark.parametrize("scripts", [True, False])
def test_whoever_waits_sees_how_far_it_is_and_gets_it(stack, visitor, somebody, scripts):
    parts = [("file", (name, name.encode())) for name in FILES]
    assert visitor.post("/files/", parts).status_code == 200
    (link,) = visitor.links("/files/")
    person = somebody()
    if not scripts:
        person.without_our_scripts()
    got: list[Download] = []
    # Playwright takes no built-in function for a handler.
    person.page.on("download", lambda download: got.append(download))  # noqa: PLW0108
    person.page.goto(link)
    stack.compose("stop", "--timeout", "0", "worker")
    try:
        person.page.get_by_role("link", name="Download all as zip").click()
        expect(person.find("h1")).to_have_text("Making the zip")
        expect(person.find("#far")).to_contain_text("0 % done")
        person.is_accessible()
    finally:
        stack.up("worker")
    until = time.monotonic() + 90
    while not got:
        assert time.monotonic() < until
        if not scripts:
            person.page.get_by_role("link", name="Refresh").click()
        person.page.wait_for_timeout(1000)  # ms
    with zipfile.ZipFile(got[0].path()) as file:
        assert {name: file.read(name).decode() for name in file.namelist()} == {
            name: name for name in FILES
        }
