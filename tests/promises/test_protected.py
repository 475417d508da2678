"""Protected links, against the containers with MinIO."""

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urljoin

import pytest
import requests

from tests.support.stack import wait_for

MB = 1_000_000
AGENTS = [
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
    "TelegramBot (like TwitterBot)",
    "WhatsApp/2.23.20.0",
    "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
    "WhatsApp/2",  # Signal
    "Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5",  # Teams
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
]


def put(stack, content: bytes, **headers: str) -> str:
    """The link of what `curl -T` sends."""
    sent = requests.put(f"{stack.page}/report.pdf", content, headers=headers, timeout=60)
    assert sent.status_code == 201, sent.text
    return sent.text.strip()


@pytest.mark.parametrize(
    ("header", "data"), [("Password: sesame", "password=sesame"), ("Max-Downloads: 1", "")]
)
def test_curl_sends_and_opens_it_as_one_would_type_it(stack, tmp_path, header, data):
    sent, got = tmp_path / "sent", tmp_path / "got"
    sent.mkdir()
    got.mkdir()
    (sent / "ção.pdf").write_bytes(b"a secret" * MB)

    def curl(*arguments: str | Path) -> str:
        command = ["curl", "-sS", "--max-time", "120", *arguments]
        return subprocess.run(command, cwd=got, check=True, capture_output=True, text=True).stdout

    link = curl("-T", sent / "ção.pdf", "-H", header, f"{stack.page}/").strip()
    assert "curl -LOJ -d" in curl(link)
    curl("-LOJ", "-d", data, link)
    (saved,) = got.iterdir()
    assert saved.suffix == ".pdf"
    assert saved.read_bytes() == (sent / "ção.pdf").read_bytes()


def test_nothing_but_a_post_spends_and_of_twenty_at_once_one_finishes(stack):
    content = bytes(range(256)) * (8 * MB // 256)
    link = put(stack, content, **{"Max-Downloads": "1", "Ttl": "40"})
    with requests.Session() as session:
        for number in range(200):
            head = {"User-Agent": AGENTS[number % len(AGENTS)], "Sec-Purpose": "prefetch"}
            head["Accept"] = "text/html" if number % 2 else "*/*"
            look = session.head if number % 3 == 0 else session.get
            look(link, headers={**head, "Range": "bytes=0-9"} if number % 5 == 0 else head)
    assert stack.sql("SELECT downloads FROM uploads_link") == [["0"]]

    def open_it(_: int) -> requests.Response:
        return requests.post(link, allow_redirects=False, timeout=60)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(open_it, range(20)))
    assert sorted(answer.status_code for answer in answers) == [303] + [404] * 19
    (address,) = [answer.headers["Location"] for answer in answers if answer.status_code == 303]
    got = b""
    with requests.get(urljoin(link, address), stream=True, timeout=60) as answer:
        for chunk in answer.iter_content(MB):
            assert requests.get(link, timeout=30).status_code == 404
            got += chunk
            time.sleep(0.5)  # a slow line
    assert got == content
    wait_for(lambda: not stack.count("link"), 120, "what was kept for the download is gone")
    stack.is_settled()
    assert stack.objects() == set()
