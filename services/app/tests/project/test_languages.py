"""English and Brazilian Portuguese, whole."""

import re

import polib
import pytest
from django.conf import settings
from django.test import Client
from django.utils import translation

from s3tasks import translations
from support.multipart import message, post
from support.samples import picture
from uploads import limits, processing
from uploads.models import Upload

PORTUGUESE = {"HTTP_ACCEPT_LANGUAGE": "pt-BR,pt;q=0.9,en;q=0.8"}
CATALOGUES = {path.parts[-3]: path for path in translations.catalogues()}
CLAIM = {"kind": "file", "filename": "a", "size": 4, "content_type": ""}
PLACEHOLDER = re.compile(r"%\(\w+\)[a-z]|%[a-z]|\{\w*\}")


@pytest.fixture(autouse=True)
def _language():
    """A request's language stays with its thread, until the next one's."""
    yield
    translation.deactivate()


@pytest.fixture(params=CATALOGUES)
def path(request):
    return CATALOGUES[request.param]


class TestCatalogue:
    def test_it_is_there(self):
        assert list(CATALOGUES) == ["pt_BR"]

    def test_it_has_the_messages_of_the_sources_and_no_others(self, path):
        assert str(translations.updated(path)) == path.read_text(), (
            "the sources changed: make manage ARGS=makemessages"
        )

    def test_no_message_is_missing_or_fuzzy(self, path):
        catalogue = polib.pofile(str(path))
        assert not [entry.msgid for entry in catalogue if not entry.translated()]
        assert not [entry.msgid for entry in catalogue if entry.fuzzy]

    def test_a_translation_has_the_placeholders_of_its_message(self, path):
        for entry in polib.pofile(str(path)):
            translated = list(entry.msgstr_plural.values()) or [entry.msgstr]
            several = entry.msgid_plural or entry.msgid
            assert set(PLACEHOLDER.findall(translated[-1])) == set(PLACEHOLDER.findall(several))
            for text in translated:
                assert set(PLACEHOLDER.findall(text)) <= set(PLACEHOLDER.findall(several))

    def test_messages_are_found_in_code_and_in_templates(self):
        found = translations.messages()
        places = ["pages/errors.py", "pages/templates/pages/image.html"]
        assert found["Being checked", ""] == places
        assert ("%d day", "%d days") in found


@pytest.mark.django_db
class TestPages:
    @pytest.mark.parametrize(
        ("asked", "language", "title"),
        [
            ("pt-BR,pt;q=0.9,en;q=0.8", "pt-br", "Minhas imagens"),
            ("pt-PT", "pt-br", "Minhas imagens"),
            ("en-GB", "en", "My Images"),
            ("fr, pt;q=0.5", "pt-br", "Minhas imagens"),
            ("ja", "en", "My Images"),
            ("", "en", "My Images"),
        ],
    )
    def test_the_browser_chooses(self, client, asked, language, title):
        response = client.get("/", HTTP_ACCEPT_LANGUAGE=asked)
        assert f'<html lang="{language}">' in response.content.decode()
        assert f"<h1>{title}</h1>" in response.content.decode()
        assert "Accept-Language" in response["Vary"]

    def test_numbers_and_times_are_said_as_there(self, client, settings):
        settings.MAX_IMAGE_BYTES = 1536 * 1024
        html = client.get("/", **PORTUGUESE).content.decode()
        assert "Até 1,5\xa0MB e 100 megapixels" in html
        settings.MAX_IMAGE_BYTES = 1024 * 1024
        assert "Até 1\xa0MB" in client.get("/", **PORTUGUESE).content.decode()
        assert "depois de 15 minutos" in html

    def test_a_refusal_is_said(self, disk, client):
        response = post(client, "/", ("image", "a.png", b"no image"), **PORTUGUESE)
        assert "Esta não é uma imagem que aceitamos" in message(response)

    def test_a_message_page_is_translated(self, client):
        response = client.get("/f/AAAAAAAAAAAAAAAAAAAAAA", **PORTUGUESE)
        assert "Este link expirou ou nunca existiu." in message(response)

    def test_the_worker_s_reason_is_said_in_the_reader_s_language(self, disk, client, settings):
        settings.MAX_IMAGE_PIXELS = 1500
        post(client, "/", ("image", "a.png", picture((640, 480))))
        processing.make_image_safe(upload_id=Upload.objects.get().id)
        settings.MAX_IMAGE_PIXELS = 2_500_000
        assert "mais de 2,5 milhões de pixels" in client.get("/", **PORTUGUESE).content.decode()


@pytest.mark.django_db
class TestPrograms:
    """The page shows the API's sentences to whoever uses it."""

    @pytest.fixture
    def client(self):
        return Client(enforce_csrf_checks=True, raise_request_exception=False)

    @pytest.mark.parametrize(
        ("asked", "status", "sentence"),
        [
            ({"HTTP_HOST": "evil.example"}, 400, "Não foi possível entender esta requisição."),
            ({"path": "/api/nothing"}, 404, "Não há nada neste endereço."),
            ({"method": "PUT"}, 405, "Este endereço não aceita este método."),
            (
                {"method": "POST", "data": b"a=b"},
                415,
                "Envie o corpo da requisição como application/json.",
            ),
        ],
    )
    def test_a_refusal_is_said(self, client, settings, asked, status, sentence):
        settings.ALLOWED_HOSTS = ["testserver"]
        answer = client.generic(**{"method": "GET", "path": "/api/uploads"} | asked, **PORTUGUESE)
        assert (answer.status_code, answer.json()["detail"]) == (status, sentence)

    def test_the_missing_token_is_named(self, client):
        client.get("/")
        answer = client.post("/api/uploads", CLAIM, "application/json", **PORTUGUESE)
        assert answer.json()["detail"].startswith("Com o cookie do visitante")

    def test_what_breaks_is_said(self, client, monkeypatch):
        monkeypatch.setattr("uploads.arrivals.ticket.claim_with_ticket", lambda *_, **__: 1 / 0)
        answer = client.post("/api/uploads", CLAIM, "application/json", **PORTUGUESE)
        assert answer.json()["detail"].endswith(" foi registrado.")

    def test_the_next_one_is_answered_in_their_own_language(self, client):
        for headers, word in [(PORTUGUESE, "Envie"), ({}, "Send"), (PORTUGUESE, "Envie")]:
            answer = client.post("/api/uploads", b"a=b", "text/plain", **headers)
            assert word in answer.json()["detail"]

    def test_the_page_about_it_is_translated_and_says_what_is_not(self, client):
        html = client.get("/api/docs", **PORTUGUESE).content.decode()
        assert "De um terminal" in html
        assert '<section class="card" lang="en">' in html


def test_every_sentence_of_the_rules_is_translated():
    """A sentence that no catalogue knows was put together before it was looked up."""
    with translation.override("pt-br"):
        assert limits.too_large("image").startswith("A imagem é grande demais")
        assert limits.too_large("file").startswith("O arquivo é grande demais")


def test_compiled_messages_lie_outside_the_code():
    assert not settings.LOCALE_PATHS[0].is_relative_to(settings.BASE_DIR)
