"""A link that is changed: by its card's form, and while its pages are open; in Chromium, against
the containers."""

import re
import time

import pytest
from playwright.sync_api import expect

from tests.support.photos import photo

NOTES = ("notes.txt", "text/plain", b"a few words")
PHOTO = ("photo.jpg", "image/jpeg", photo(64, 48))


def live_for(person, ttl: int) -> None:
    """As another tab, or a program, gives the one link on the page another time."""
    expect(person.find("#uploads time")).to_have_count(1)
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


@pytest.mark.parametrize(("path", "sent"), [("/files/", NOTES), ("/", PHOTO)])
class TestForm:
    def change(self, person):
        return person.page.get_by_role("link", name=re.compile("^Change "))

    def test_i_change_the_time_and_the_name_on_the_card(self, person, path, sent):
        person.open(path).drop(sent)
        self.change(person).click()
        expect(person.find("#change_ttl")).to_be_focused()
        person.is_accessible()
        person.find("#change_ttl").select_option("300")
        person.find("#change_name").fill("The <b>each")
        person.button("Save").click()
        expect(person.find("#messages")).to_contain_text(
            "The <b>each will be deleted in 5 minutes."
        )
        expect(person.find("#uploads time")).to_have_text(re.compile(r"^(5|4) min.* left$"))
        expect(person.find("#uploads")).to_contain_text("The <b>each")
        expect(self.change(person)).to_be_focused()
        expect(person.cards).to_have_count(1)
        person.is_accessible()

    def test_i_am_told_what_is_wrong_in_the_dialog_and_can_leave_it(self, person, path, sent):
        person.open(path).drop(sent)
        self.change(person).click()
        person.find("#change_ttl").evaluate("e => e.append(new Option('a day', '86400'))")
        person.find("#change_ttl").select_option("86400")
        person.button("Save").click()
        expect(person.find("#change-errors")).to_be_focused()
        expect(person.find("#change-errors")).to_contain_text("can live for at most")
        person.is_accessible()
        person.page.get_by_role("link", name="Cancel").click()
        expect(person.find("#change-dialog")).to_be_hidden()
        expect(self.change(person)).to_be_focused()
        expect(person.find("#uploads time")).to_contain_text("14 min")

    def test_one_that_is_gone_meanwhile_is_said_to_be(self, person, path, sent):
        person.open(path).drop(sent)
        self.change(person).click()
        expect(person.find("#change_ttl")).to_be_focused()
        other = person.context.new_page()
        other.goto(person.address + path)
        other.get_by_role("button", name=re.compile("^Delete (?!all)")).click()
        expect(other.locator("#uploads > li")).to_have_count(0)
        person.button("Save").click()
        expect(person.find("#messages")).to_contain_text("There is no such link.")
        expect(person.find("#change-dialog")).to_be_hidden()
        expect(person.cards).to_have_count(0)

    def test_without_scripts_it_is_a_page(self, person, path, sent):
        person.open(path).drop(sent)
        expect(person.cards).to_have_count(1)
        expect(person.rows).to_have_count(0)
        person.without_our_scripts().open(path)
        self.change(person).click()
        expect(person.find("h1")).to_have_text("Change the link")
        person.is_accessible()
        person.find("#change_ttl").select_option("300")
        person.button("Save").click()
        expect(person.find("#messages")).to_contain_text("will be deleted in 5 minutes.")
        person.is_accessible()


def test_i_protect_a_link_on_its_card_and_open_it_again(person, friend):
    person.open("/files/").drop(NOTES)
    change = person.page.get_by_role("link", name=re.compile("^Change "))
    change.click()
    person.find("#change_password").fill("s3cret")
    person.find("#change_max_downloads").select_option("5")
    person.is_accessible()
    person.button("Save").click()
    expect(person.find("#uploads")).to_contain_text("0 of 5 downloads")
    link = person.find("#uploads code").inner_text()
    friend.page.goto(link)
    expect(friend.find("main")).not_to_contain_text("notes.txt")
    change.click()
    person.find("#change_open_to_all").check()
    person.find("#change_max_downloads").select_option("")
    person.is_accessible()
    person.button("Save").click()
    expect(person.find("#uploads")).not_to_contain_text("of 5 downloads")
    friend.page.goto(link)
    expect(friend.find("h1")).to_have_text("notes.txt")
