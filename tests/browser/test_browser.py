"""What people do on the page, in Chromium, against the containers with MinIO."""

import base64
import re
from pathlib import Path

import pytest
import requests
from playwright.sync_api import expect

from tests.support.photos import damaged, photo
from tests.support.stack import wait_for

JPEG, PNG, TEXT = "image/jpeg", "image/png", "text/plain"


def jpeg(name="photo.jpg", width=640, height=480):
    return name, JPEG, photo(width, height)


def text(name="report.txt", content=b"report"):
    return name, TEXT, content


class TestImages:
    def test_i_drop_three_images_and_watch_them_arrive(self, stack, person):
        person.open().on_a_slow_line(1024 * 1024)
        person.watch_progress()
        person.drop(*[jpeg(f"{n}.jpg", 2400, 1800) for n in range(3)])
        expect(person.rows).to_have_count(3)
        expect(person.find(".status").first).to_have_text(
            re.compile(r"\d+%\s· [\d.]+\s[KM]B/s · .+ left")
        )
        expect(person.cards).to_have_count(3)
        expect(person.rows).to_have_count(0)
        for name, steps in person.progress.items():
            assert steps == sorted(steps), name
            assert len(steps) > 3, name
            assert steps[-1] == 1, name
        assert set(person.progress) == {"0.jpg", "1.jpg", "2.jpg"}
        for picture in person.find("#uploads .picture img").all():
            wait_for(lambda p=picture: p.evaluate("i => i.naturalWidth") > 0, 60, "it is shown")
        stack.is_settled()
        assert stack.count("upload", "state = 'ready'") == 3

    def test_i_copy_the_link_and_a_friend_opens_it(self, person, friend):
        person.open().drop(jpeg())
        person.button("Copy link").click()
        expect(person.button("Copied")).to_be_visible()
        link = person.page.evaluate("navigator.clipboard.readText()")
        friend.page.goto(link)
        shown = friend.find("img")
        assert shown.evaluate("i => [i.naturalWidth, i.naturalHeight]") == [640, 480]
        expect(person.button("Copy link")).to_be_visible()  # it says so again

    def test_it_counts_down_and_is_gone(self, stack, person):
        person.open().live_for(6)
        person.drop(jpeg())
        clock = person.find("#uploads time")
        expect(clock).to_have_text("3 sec left")
        expect(clock).to_have_text("1 sec left")
        link = person.find("#uploads code").inner_text()
        expect(person.cards).to_have_count(0, timeout=3000)
        expect(person.find(".empty")).to_be_visible()
        expect(person.find("#said")).to_contain_text("photo.jpg has expired.")
        assert requests.get(link, timeout=30).status_code == 404
        wait_for(lambda: not stack.objects(), 60, "its bytes are gone")

    def test_i_paste_a_screenshot(self, person):
        person.open()
        person.page.evaluate(
            """async (bytes) => navigator.clipboard.write([new ClipboardItem({
                "image/png": new Blob([Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0))],
                                      {type: "image/png"})})])""",
            encoded(photo(320, 240, "PNG")),
        )
        person.page.keyboard.press("Control+V")
        expect(person.cards).to_have_count(1)
        expect(person.find("#uploads h3")).to_have_text(re.compile(r"screenshot 20\S+ \S+\.png"))

    def test_text_that_i_paste_into_the_name_stays_text(self, person):
        person.open()
        person.page.evaluate("navigator.clipboard.writeText('The beach')")
        person.find("[name=name]").focus()
        person.page.keyboard.press("Control+V")
        expect(person.find("[name=name]")).to_have_value("The beach")
        person.drop(jpeg())
        expect(person.find("#uploads h3")).to_have_text("The beach")

    def test_a_picture_beside_the_text_that_i_paste_is_not_uploaded(self, person):
        # Excel and Word lay one there; in a text field even a picture alone is nobody's business.
        person.open()
        for target, parts in [
            ("[name=name]", {"text/plain": "A1", "image.png": photo(64, 48, "PNG")}),
            ("[name=name]", {"image.png": photo(64, 48, "PNG")}),
            ("main", {"text/plain": "A1", "image.png": photo(64, 48, "PNG")}),
        ]:
            person.paste(target, parts)
        person.paste("main", {"image.png": photo(64, 48, "PNG")})
        expect(person.cards).to_have_count(1)
        expect(person.rows).to_have_count(0)

    def test_a_picture_of_the_page_that_i_drag_about_is_not_uploaded_again(self, person):
        person.open().drop(jpeg())
        picture = person.find("#uploads .picture img")
        expect(picture).to_have_count(1)
        picture.dispatch_event("dragstart")
        person.drop(jpeg("again.jpg"))
        picture.dispatch_event("dragend")
        person.drop(jpeg("other.jpg"))
        expect(person.find("#uploads h3")).to_have_text(["other.jpg", "photo.jpg"])

    @pytest.mark.parametrize("change", ["written", "deleted"])
    def test_i_am_told_that_my_file_changed_after_i_chose_it(self, stack, person, tmp_path, change):
        file = tmp_path / "photo.jpg"
        file.write_bytes(photo(640, 480))

        def meanwhile(route):
            file.write_bytes(photo(64, 48)) if change == "written" else file.unlink()
            route.continue_()

        person.open().page.route("**/api/uploads", meanwhile, times=1)
        person.choose(file)
        expect(person.rows).to_contain_text("changed, moved or deleted after you chose it")
        expect(person.button("Try again")).to_have_count(0)
        wait_for(lambda: not stack.count("upload"), 60, "nothing of it stays")

    def test_i_cancel_and_nothing_of_it_stays(self, stack, person):
        person.open().on_a_slow_line(50 * 1024)
        person.drop(jpeg("large.jpg", 2400, 1800), jpeg("other.jpg", 2400, 1800))
        expect(person.find(".status").first).to_contain_text("left")
        person.button("Cancel large.jpg").click()
        expect(person.rows).to_have_count(1)
        expect(person.button("Cancel other.jpg")).to_be_focused()
        person.button("Cancel other.jpg").click()
        expect(person.rows).to_have_count(0)
        expect(person.find("#here-heading")).to_be_focused()
        wait_for(lambda: not stack.count("upload"), 60, "its row is gone")
        stack.is_settled()

    def test_storage_was_down_and_my_second_try_keeps_the_file(self, stack, person):
        person.open()
        stack.compose("stop", "minio")
        try:
            person.drop(jpeg())
            expect(person.rows).to_contain_text("Storage refused the file")
            person.is_accessible()
        finally:
            stack.up("minio")
        person.button("Try again").click()
        expect(person.cards).to_have_count(1)
        assert stack.count("upload") == 1

    def test_what_is_damaged_is_said_with_the_reason(self, person):
        person.open().drop(("half.jpg", JPEG, damaged(photo(640, 480))))
        expect(person.find(".rejected")).to_contain_text("half.jpg was not accepted. The image is")
        person.is_accessible()
        person.button("Dismiss").click()
        expect(person.find(".rejected")).to_have_count(0)

    def test_what_cannot_be_an_image_is_refused_before_it_is_sent(self, stack, person):
        person.open().drop(text(), ("empty.png", PNG, b""), jpeg())
        expect(person.rows.nth(0)).to_contain_text("This is not an image that we accept")
        expect(person.rows.nth(1)).to_contain_text("The file is empty.")
        expect(person.cards).to_have_count(1)
        assert stack.count("upload") == 1

    def test_what_only_claims_to_be_an_image_is_refused_and_gone(self, stack, person):
        person.open().drop(("page.png", PNG, b"<html><script>alert(1)</script>"))
        expect(person.rows).to_contain_text("This is not an image that we accept")
        expect(person.button("Try again")).to_have_count(0)
        stack.is_settled()
        assert not stack.objects()

    def test_a_fourth_image_takes_the_first_off_the_page(self, person):
        person.open()
        for n in range(4):
            person.drop(jpeg(f"{n}.jpg", 64, 48))
            expect(person.find("#uploads h3").first).to_have_text(f"{n}.jpg")
        expect(person.find("#uploads h3")).to_have_text(["3.jpg", "2.jpg", "1.jpg"])
        expect(person.find("#messages")).to_have_text(
            "0.jpg made room for a newer image. Its link no longer works."
        )
        person.is_accessible()

    def test_of_five_images_the_last_three_i_chose_stay_and_i_am_told_before(self, stack, person):
        person.open()
        # The first ones are the slowest to be made safe.
        sizes = [(2400, 1800), (1600, 1200), (640, 480), (64, 48), (64, 48)]
        person.drop(*[jpeg(f"{n}.jpg", *size) for n, size in enumerate(sizes)])
        expect(person.find("#messages")).to_contain_text(
            "Only the last 3 of these 5 images are kept: 2.jpg, 3.jpg, 4.jpg."
        )
        wait_for(lambda: not stack.count("upload", "state <> 'ready'"), 60, "all are ready")
        person.open()
        expect(person.find("#uploads h3")).to_have_text(["4.jpg", "3.jpg", "2.jpg"])

    def test_no_more_time_is_shown_than_there_is(self, person):
        person.open().live_for(50)
        person.drop(jpeg())
        for _ in range(2):
            expect(person.cards).to_have_count(1)
            for _ in range(5):
                shown, left, waited = person.look_at_the_clock()
                # What is left was counted while the answer was waited for; then the page was read.
                assert left - waited - 1.5 < shown <= left
                person.page.wait_for_timeout(330)
            person.open()

    def test_i_delete_one_and_the_focus_goes_to_the_next(self, person):
        person.open().drop(jpeg("a.jpg", 64, 48))
        expect(person.cards).to_have_count(1)
        person.drop(jpeg("b.jpg", 64, 48))
        expect(person.cards).to_have_count(2)
        person.button("Delete b.jpg").focus()
        person.page.keyboard.press("Enter")
        expect(person.cards).to_have_count(1)
        expect(person.button("Copy link a.jpg")).to_be_focused()
        expect(person.find("#said")).to_contain_text("b.jpg was deleted.")

    def test_delete_all_asks_first(self, stack, person):
        person.open().drop(jpeg("a.jpg", 64, 48), jpeg("b.jpg", 64, 48))
        expect(person.cards).to_have_count(2)
        person.button("Delete all images").click()
        person.is_accessible()
        person.page.keyboard.press("Escape")
        expect(person.button("Delete all images")).to_be_focused()
        expect(person.cards).to_have_count(2)
        person.button("Delete all images").click()
        person.button("Yes, delete all").click()
        expect(person.cards).to_have_count(0)
        expect(person.find("#here-heading")).to_be_focused()
        expect(person.button("Delete all images")).to_be_hidden()
        assert stack.count("upload") == 0

    def test_i_show_the_qr_code(self, person):
        person.open().drop(jpeg())
        person.page.get_by_role("link", name="QR code").click()
        picture = person.find("#qr-image")
        expect(picture).to_be_visible()
        wait_for(lambda: picture.evaluate("i => i.naturalWidth") > 0, 60, "the code is drawn")
        expect(person.find("#qr-link")).to_have_text(person.find("#uploads code").inner_text())
        person.is_accessible()
        person.page.keyboard.press("Escape")
        expect(person.page.get_by_role("link", name="QR code")).to_be_focused()


class TestFiles:
    def test_the_last_file_is_set_apart_with_its_link(self, person, friend):
        person.open("/files/")
        for count, name in enumerate(["a.txt", "b.txt"], start=1):
            person.choose(text(name))
            expect(person.cards).to_have_count(count)
        expect(person.find(".badge:visible")).to_have_count(1)
        person.drop(text("c.txt", b"last"))
        expect(person.find("#uploads h3").first).to_have_text("c.txt")
        link = person.find("#uploads code").first.inner_text()
        answer = requests.get(link, timeout=30)
        assert answer.content == b"last"
        # A friend's browser shows what it is, and downloads it under its name.
        friend.page.goto(link)
        expect(friend.find("h1")).to_have_text("c.txt")
        expect(friend.find("pre")).to_have_text("last")
        with friend.page.expect_download() as download:
            friend.page.get_by_role("link", name="Download").click()
        assert download.value.suggested_filename == "c.txt"
        assert download.value.path().read_bytes() == b"last"
        assert 'filename="c.txt"' in answer.headers["Content-Disposition"]

    def test_the_page_shows_the_line_for_a_terminal(self, stack, person):
        person.open("/files/").button("Copy command").click()
        expect(person.button("Copied")).to_be_visible()
        line = person.page.evaluate("navigator.clipboard.readText()")
        assert line == f"curl -T photo.jpg {stack.page}/"

    def test_a_hundred_megabytes_go_past_the_web_container(self, stack, person, tmp_path):
        large = tmp_path / "large.bin"
        with large.open("wb") as file:
            file.truncate(100 * 1024 * 1024)
        person.open("/files/")
        before = received_bytes(stack)
        person.choose(large)
        expect(person.cards).to_have_count(1, timeout=120_000)
        received = received_bytes(stack) - before
        print(f"the web container received {received} bytes")
        assert received < 100_000
        assert stack.count("upload", "size_bytes = 104857600") == 1


class TestSeveralFiles:
    """What is chosen, dropped or pasted together is one link."""

    def test_i_drop_three_files_and_a_friend_downloads_each(self, stack, person, friend):
        person.open("/files/").drop(text("a.txt", b"1"), text("ção 日本.txt", b"22"), text("a.txt"))
        expect(person.find("#uploads .contents > li")).to_have_count(3)
        expect(person.cards).to_have_count(1)
        expect(person.find("#uploads h3")).to_have_text("3 files")
        assert stack.count("link") == 1
        friend.page.goto(person.find("#uploads code").inner_text())
        sent = {"a.txt": b"1", "ção 日本.txt": b"22", "a (2).txt": b"report"}
        for name, content in sent.items():
            with friend.page.expect_download() as download:
                friend.page.get_by_role("link", name=f"Download {name}", exact=True).click()
            assert download.value.suggested_filename == name
            assert download.value.path().read_bytes() == content
        friend.is_accessible()

    def test_a_folder_keeps_its_paths(self, person, tmp_path):
        deep = tmp_path / "trip" / "2026"
        deep.mkdir(parents=True)
        for path in (tmp_path / "trip" / "a.txt", deep / "b.txt", tmp_path / "c.txt"):
            path.write_text(path.name)
        person.open("/files/").drop_from_disk(tmp_path / "trip", tmp_path / "c.txt")
        names = person.find("#uploads .contents .name bdi")
        expect(names).to_have_count(3)
        assert sorted(names.all_inner_texts()) == ["c.txt", "trip/2026/b.txt", "trip/a.txt"]
        link = person.find("#uploads code").inner_text()
        answer = requests.get(f"{link}/trip/2026/b.txt", timeout=30)
        assert answer.content == b"b.txt"

    def test_of_a_folder_with_more_than_a_link_holds_i_am_told(self, person, tmp_path):
        folder = tmp_path / "many"
        folder.mkdir()
        for number in range(120):
            (folder / f"{number}.txt").write_text("x")
        person.open("/files/").drop_from_disk(folder)
        expect(person.find("#messages")).to_contain_text("A link holds at most 100 files")
        expect(person.find("#transfers > li, #uploads .contents > li")).to_have_count(100)

    def test_i_add_one_take_one_away_and_delete_them_all(self, stack, person):
        person.open("/files/").choose(text("a.txt"), text("b.txt"))
        rows = person.find("#uploads .contents > li")
        expect(rows).to_have_count(2)
        with person.page.expect_file_chooser() as chooser:
            person.page.get_by_role("link", name="Add files").click()
        chooser.value.set_files({"name": "c.txt", "mimeType": TEXT, "buffer": b"c"})
        expect(rows).to_have_count(3)
        expect(person.cards).to_have_count(1)
        person.is_accessible()
        person.button("Remove a.txt").click()
        expect(rows).to_have_count(2)
        expect(person.find("#uploads h3")).to_have_text("2 files")
        person.button("Delete 2 files").click()
        expect(person.cards).to_have_count(0)
        wait_for(lambda: not stack.count("upload"), 60, "they have no rows")
        assert stack.count("link") == 0

    def test_three_expire_at_one_second_on_every_page(self, stack, person, friend):
        person.open("/files/").live_for(8)
        person.drop(*[text(f"{n}.txt") for n in range(3)])
        expect(person.find("#uploads .contents > li")).to_have_count(3)
        assert stack.count("upload", "expires_at IS NOT NULL GROUP BY expires_at") == 3
        link = person.find("#uploads code").inner_text()
        friend.page.goto(link)
        expect(person.cards).to_have_count(0)
        expect(friend.find("main")).to_contain_text("This link has expired")
        for address in (link, *(f"{link}/{n}.txt" for n in range(3))):
            assert requests.get(address, timeout=30).status_code == 404


class TestWithoutScripts:
    @pytest.fixture
    def person(self, somebody):
        return somebody(java_script_enabled=False)

    def upload(self, person, *files, path="/"):
        person.open(path).choose(*files)
        person.button("Upload").click()

    def pictures(self, person):
        person.refresh()
        return person.find("#uploads .picture img")

    def test_three_images_appear_with_a_link_for_a_friend(self, person, friend):
        self.upload(person, *[jpeg(f"{n}.jpg") for n in range(3)])
        expect(person.find("#messages")).to_have_text(re.compile("3 images were uploaded."))
        pictures = self.pictures(person)
        expect(pictures).to_have_count(3)
        friend.page.goto(person.find("#uploads code").first.inner_text())
        assert friend.find("img").evaluate("i => i.naturalWidth") == 640

    def test_no_control_is_shown_that_needs_scripts(self, person):
        self.upload(person, jpeg())
        self.pictures(person)
        assert not person.find(".scripted:visible").count()
        expect(person.button("Upload")).to_be_visible()

    def test_the_qr_code_is_a_picture_of_its_own(self, person):
        self.upload(person, text(), path="/files/")
        with person.page.expect_response(lambda r: r.url.endswith(".svg")) as code:
            person.page.get_by_role("link", name="QR code").click()
        assert code.value.headers["content-type"] == "image/svg+xml"

    def test_each_look_says_how_long_it_stays_until_its_time_is_up(self, stack, person):
        self.upload(person, text(), path="/files/")
        expect(person.find("#uploads time")).to_have_text(
            re.compile("14 minutes 5\\d seconds left")
        )
        link = person.find("#uploads code").inner_text()
        stack.sql("UPDATE uploads_upload SET expires_at = now() + interval '40 s'")
        person.open("/files/")
        expect(person.find("#uploads time")).to_have_text(re.compile(r"^\s*[34]\d seconds left"))
        stack.sql("UPDATE uploads_upload SET expires_at = now()")
        person.open("/files/")
        expect(person.cards).to_have_count(0)
        person.page.goto(link)
        expect(person.find("main")).to_contain_text("This link has expired")

    def test_i_stop_the_browser_and_nothing_of_it_stays(self, stack, person):
        person.open("/files/").choose(text("large.bin", bytes(4 * 1024 * 1024)))
        person.on_a_slow_line(256 * 1024)
        person.button("Upload").focus()
        with person.page.expect_request(lambda request: request.method == "POST"):
            person.page.keyboard.press("Enter")
        person.open("/files/")
        expect(person.cards).to_have_count(0)
        wait_for(lambda: not stack.count("upload"), 60, "it has no row")
        assert not stack.objects()

    def test_storage_was_down_and_i_try_again(self, stack, person):
        stack.compose("stop", "minio")
        try:
            self.upload(person, jpeg())
            expect(person.page.get_by_role("alert")).to_contain_text("Storage is not responding")
        finally:
            stack.up("minio")
        self.upload(person, jpeg())
        expect(self.pictures(person)).to_have_count(1)

    def test_i_delete_one_and_then_all(self, stack, person):
        self.upload(person, text("a.txt"), path="/files/")
        self.upload(person, text("b.txt"), path="/files/")
        person.button("Delete b.txt").click()
        expect(person.find("#messages")).to_contain_text("b.txt was deleted.")
        expect(person.cards).to_have_count(1)
        person.find(".clear summary").click()
        person.button("Yes, delete all").click()
        expect(person.cards).to_have_count(0)
        assert stack.count("upload") == 0


class TestPortuguese:
    def test_a_brazilian_without_scripts_uploads_shares_and_deletes(self, somebody, friend):
        person = somebody(locale="pt-BR", java_script_enabled=False).open()
        person.choose(jpeg("praia.jpg"))
        person.button("Enviar").click()
        expect(person.find("#messages")).to_have_text(re.compile("1 imagem foi enviada."))
        person.refresh("Atualizar")
        friend.page.goto(person.find("#uploads code").inner_text())
        assert friend.find("img").evaluate("i => i.naturalWidth") == 640
        person.button("Apagar praia.jpg").click()
        expect(person.find("#messages")).to_contain_text("praia.jpg foi apagado.")

    def test_a_brazilian_drops_an_image(self, somebody):
        person = somebody(locale="pt-BR").open()
        expect(person.find("h1")).to_have_text("Minhas imagens")
        person.on_a_slow_line(200 * 1024)
        person.drop(jpeg("praia.jpg", 1600, 1200), text("notas.txt"))
        expect(person.rows.nth(1)).to_contain_text("Esta não é uma imagem que aceitamos")
        expect(person.find(".status").first).to_have_text(
            re.compile(r"\d+%\s· [\d,]+\s[KM]B/s · falta: .+")
        )
        expect(person.find("#uploads time")).to_have_text(re.compile(r"Falta: 1[45] min"))
        expect(person.button("Copiar link")).to_be_visible()

    def test_a_brazilian_without_scripts_is_told_what_is_wrong(self, somebody):
        person = somebody(locale="pt-BR", java_script_enabled=False).open("/files/")
        person.choose(("vazio.txt", TEXT, b""))
        person.button("Enviar").click()
        expect(person.page.get_by_role("alert")).to_contain_text("O arquivo está vazio.")


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("scripts", [True, False])
class TestAccessibility:
    @pytest.fixture
    def person(self, somebody, colours, scripts):
        person = somebody(color_scheme=colours)
        return person if scripts else person.without_our_scripts()

    def test_every_page_is(self, person):
        for path in ("/", "/files/", "/i/unknown", "/nothing", "/files/clear/"):
            person.open(path).is_accessible()

    def test_full_pages_are(self, stack, person, visitor):
        visitor.upload_images(jpeg()[::2], ("half.jpg", damaged(photo(640, 480))))
        visitor.wait_for_pictures(1)
        visitor.upload_file("a.txt", b"a", description="The last")
        visitor.upload_file("b.txt", b"b")
        person.is_also(visitor)
        for path in ("/", "/files/"):
            person.open(path)
            expect(person.cards.first).to_be_visible()
            person.is_accessible()

    def test_the_page_of_a_link_is(self, stack, person, visitor):
        visitor.upload_file("photo.jpg", photo(640, 480))
        visitor.upload_file("ação.txt", "ção 日本".encode(), description="For Ana")
        for link in visitor.links("/files/"):
            person.page.goto(link)
            expect(person.find(".preview")).to_be_visible()
            person.find("summary").click()
            person.is_accessible()

    def test_a_protected_link_is_closed_refused_open_and_used_up(self, person, visitor):
        visitor.upload_file("a.txt", b"a", password="sesame", max_downloads=1)
        (link,) = visitor.links("/files/")
        person.page.goto(link)
        password = person.page.get_by_label("Password")
        expect(password).to_be_focused()
        person.is_accessible()
        password.fill("wrong")
        person.button("Open").click()
        expect(person.find("[role=alert]")).to_contain_text("This is not the password")
        expect(password).to_be_focused()
        person.is_accessible()
        password.fill("sesame")
        with person.page.expect_download() as download:
            person.button("Open").click()
        assert Path(download.value.path()).read_bytes() == b"a"
        person.page.goto(link)
        expect(person.find("main")).to_contain_text("This link has expired")
        person.is_accessible()

    def test_what_lasts_a_moment_is(self, stack, person, visitor, scripts):
        visitor.upload_images(jpeg()[::2])
        visitor.wait_for_pictures(1)
        stack.sql("UPDATE uploads_upload SET expires_at = now() + interval '50 s'")
        person.is_also(visitor)
        person.open()
        expect(person.find("#uploads time")).to_contain_text("left")
        person.is_accessible()
        link = person.find("#uploads code").inner_text()
        stack.sql(
            "UPDATE uploads_upload SET state = 'checking', lease_until = now() + interval '1 h'"
        )
        person.open()
        expect(person.find("#uploads")).to_contain_text("Being checked")
        person.is_accessible()
        person.page.goto(link)
        expect(person.find("h1")).to_have_text("Being checked")
        person.is_accessible()
        if scripts:
            person.open().drag(jpeg())
            expect(person.find("#veil")).to_be_visible()
        else:
            person.open("/files/").choose(text())
            person.button("Upload").click()
            expect(person.find("#messages")).to_contain_text("report.txt was uploaded.")
        person.is_accessible()

    def test_the_pages_about_programs_are(self, stack, person):
        put = requests.put(f"{stack.page}/report.txt", data=b"report", timeout=30)
        person.page.goto(put.headers["X-Url-Delete"])
        person.is_accessible()
        person.button("Delete").click()
        expect(person.find("h1")).to_have_text("Deleted.")
        person.is_accessible()
        person.open("/api/docs").is_accessible()

    def test_an_upload_on_its_way_is(self, person, scripts):
        person.open("/files/")
        if scripts:
            person.on_a_slow_line(100 * 1024)
            person.drop(*[text(f"{n}.bin", b"x" * 1024 * 1024) for n in range(4)], text("e", b""))
            expect(person.find(".status").first).to_contain_text("left")
            expect(person.find(".status").nth(3)).to_have_text("Waiting for the other uploads")
            expect(person.find(".status").nth(4)).to_have_text("The file is empty.")
        else:
            person.choose(text("empty.txt", b""))
            person.button("Upload").click()
            expect(person.page.get_by_role("alert")).to_be_visible()
        person.is_accessible()


def encoded(content):
    return base64.b64encode(content).decode()


def received_bytes(stack):
    """What the web container has received, by its network counters."""
    table = stack.compose("exec", "-T", "web", "cat", "/proc/net/dev")
    return sum(
        int(line.split(":")[1].split()[0])
        for line in table.splitlines()[2:]
        if not line.strip().startswith("lo:")
    )
