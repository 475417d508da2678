"""Protected links as somebody at a terminal meets them."""

import shutil
import subprocess

import pytest

from uploads.models import Link

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed"),
]


@pytest.fixture
def curl(live_server, store, settings, tmp_path):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

    def curl(*arguments) -> str:
        command = ["curl", "-sS", "--max-time", "60", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout

    return curl


@pytest.fixture
def report(tmp_path):
    report = tmp_path / "sent" / "ção.pdf"
    report.parent.mkdir()
    report.write_bytes(b"a secret" * 100_000)
    return report


@pytest.mark.parametrize(
    ("headers", "data"),
    [(["-H", "Password: ção 1"], "password=ção 1"), (["-H", "Max-Downloads: 1"], "")],
)
def test_what_the_line_says_opens_the_link(live_server, curl, report, tmp_path, headers, data):
    link = curl("-T", report, *headers, f"{live_server.url}/").strip()
    said = curl(link)
    assert f"curl -LOJ -d {'password=…' if data else repr('')} {link}\n" in said
    curl("-LOJ", "-d", data, link)
    (saved,) = [path for path in tmp_path.iterdir() if path.is_file()]
    assert saved.suffix == ".pdf"
    assert saved.read_bytes() == report.read_bytes()
    assert Link.objects.get().downloads == 1


def test_without_following_nobody_sees_a_name(live_server, curl, report):
    link = curl("-T", report, "-H", "Password: a", f"{live_server.url}/").strip()
    for arguments in (["-i"], ["-I"], ["-i", "-r", "0-3"], ["-i", "-d", "password=b"]):
        assert ".pdf" not in curl(*arguments, link)
