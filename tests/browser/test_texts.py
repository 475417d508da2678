"""A text that I paste or write on My Files, in Chromium, against the containers."""

import requests
from playwright.sync_api import expect

from tests.support.photos import photo

PICTURE = photo(64, 48, "PNG")
PROGRAM = {"Accept": "*/*"}


class TestPasting:
    def test_a_text_is_a_file_also_where_a_picture_lies_beside_it(self, person):
        person.open("/files/")
        person.paste("main", {"text/plain": "A1\r\nB1", "image.png": PICTURE})
        expect(person.find("#uploads h3")).to_have_text(["text.txt"])
        link = person.find("#uploads code").inner_text()
        assert requests.get(link, headers=PROGRAM, timeout=30).content == b"A1\nB1"
        person.paste("main", {"text/plain": "and more"})
        expect(person.cards).to_have_count(2)

    def test_a_text_field_a_dialog_and_nothing_are_left_alone(self, person):
        person.open("/files/")
        for target in ("[name=text]", "input[name=description]"):
            person.paste(target, {"text/plain": "words"})
            person.paste(target, {"image.png": PICTURE})
        person.paste("main", {"text/plain": " \n"})
        person.paste("main", {"image.png": PICTURE})
        expect(person.cards).to_have_count(1)
        expect(person.find("#uploads h3")).to_contain_text("screenshot")
        person.page.get_by_role("link", name="Change screenshot").click()
        expect(person.find("#change_ttl")).to_be_focused()
        person.paste("#change_ttl", {"text/plain": "words"})
        expect(person.rows).to_have_count(0)
        expect(person.cards).to_have_count(1)

    def test_on_my_images_a_text_is_nothing(self, person):
        person.open()
        person.paste("main", {"text/plain": "words"})
        person.paste("main", {"image.png": PICTURE})
        expect(person.cards).to_have_count(1)
        expect(person.rows).to_have_count(0)


class TestWriting:
    def test_i_write_a_text_and_share_it(self, person, friend):
        person.open("/files/").find("[name=text]").fill("one\ntwo")
        person.button("Upload the text").click()
        expect(person.cards).to_have_count(1)
        expect(person.find("[name=text]")).to_have_value("")
        friend.page.goto(person.find("#uploads code").inner_text())
        expect(friend.find("pre")).to_have_text("one\ntwo")

    def test_without_one_i_am_led_to_the_field(self, person):
        person.open("/files/")
        person.button("Upload the text").click()
        expect(person.find("[name=text]")).to_be_focused()
        person.is_accessible()

    def test_without_scripts_too(self, person):
        person.without_our_scripts().open("/files/")
        person.button("Upload").click()
        expect(person.find("#errors")).to_contain_text("Choose at least one file, or write a text.")
        person.find("[name=text]").fill("words")
        person.button("Upload").click()
        expect(person.find("#uploads h3")).to_have_text(["text.txt"])
        person.is_accessible()
