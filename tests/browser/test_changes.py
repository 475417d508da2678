"""A link whose time is changed while its pages are open, in Chromium, against the containers."""

import time

from playwright.sync_api import expect

from tests.support.photos import photo

NOTES = ("notes.txt", "text/plain", b"a few words")
PHOTO = ("photo.jpg", "image/jpeg", photo(64, 48))


def live_for(person, ttl: int) -> None:
    """As another tab, or a program, gives the one link on the page another time."""
    answer = person.page.evaluate(
        """async (ttl) => {
            const id = document.querySelector("#uploads time").dataset.life;
            const token = document.querySelector("[name=csrfmiddlewaretoken]").value;
            const headers = {"Content-Type": "application/json", "X-CSRFToken": token};
            const body = JSON.stringify({ttl});
            return (await fetch(`/api/links/${id}`, {method: "PATCH", headers, body})).status;
        }""",
        ttl,
    )
    assert answer == 200


class TestFollowing:
    def test_every_open_page_follows_and_the_file_is_gone_everywhere(self, stack, person, friend):
        person.open("/files/").drop(NOTES)
        link = person.find("#uploads code").inner_text()
        friend.page.goto(link)
        expect(friend.find("main time")).to_contain_text("14 min")
        live_for(person, 15)
        for reader in (person, friend):
            expect(reader.find("main time")).to_contain_text("sec left")
        expect(person.cards).to_have_count(0)
        expect(person.find("#said")).to_contain_text("notes.txt has expired.")
        expect(friend.find("h1")).to_have_text("Not found")

    def test_an_image_follows_too_and_its_time_can_grow(self, person):
        person.open().drop(PHOTO)
        live_for(person, 3600)
        expect(person.find("#uploads time")).to_contain_text("59 min")

    def test_a_page_that_nobody_sees_asks_nothing(self, person):
        person.open("/files/").drop(NOTES)
        expect(person.cards).to_have_count(1)
        asked = []
        person.page.on("request", lambda request: asked.append(request.url))
        person.page.evaluate(
            """() => {
                Object.defineProperty(document, "hidden", {value: true, configurable: true});
                document.dispatchEvent(new Event("visibilitychange", {bubbles: true}));
            }"""
        )
        asked.clear()
        person.page.wait_for_timeout(9000)  # two looks and more
        assert not asked
        person.page.evaluate(
            """() => {
                delete document.hidden;
                document.dispatchEvent(new Event("visibilitychange", {bubbles: true}));
            }"""
        )
        until = time.monotonic() + 20
        while not [url for url in asked if url.endswith("/links/left/")]:
            assert time.monotonic() < until
            person.page.wait_for_timeout(50)
