"""What is believed of a visitor's address and scheme, and of whom."""

from contextlib import closing
from http.client import HTTPConnection

import pytest

from s3tasks.web.proxies import without_port
from support.served import Server
from uploads.models import Upload
from uploads.rate import source_of


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("1.2.3.4", "1.2.3.4"),
        ("1.2.3.4:567", "1.2.3.4"),
        ("1.2.3.4:", "1.2.3.4"),
        ("::1", "::1"),
        ("[::1]", "::1"),
        ("[::1]:5", "::1"),
        ("2001:db8::1:443", "2001:db8::1:443"),  # no port without brackets
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("::ffff:1.2.3.4", "::ffff:1.2.3.4"),
        ("unknown", "unknown"),
        ("unknown:5", "unknown"),
        ("_hidden", "_hidden"),
        ("[::1", "[::1"),
        ("1.2.3.4:x", "1.2.3.4:x"),
        ("[]", ""),
    ],
)
def test_the_port_of_a_forwarded_address_is_not_part_of_it(forwarded, address):
    assert without_port(forwarded) == address


def test_another_port_is_no_other_source():
    sources = {source_of(without_port(f"203.0.113.9:{port}")) for port in range(50_000, 50_010)}
    assert sources == {"203.0.113.9"}
    assert {source_of(without_port(f"[2001:db8::1]:{n}")) for n in (1, 2)} == {"2001:db8::"}


# gunicorn alone would believe each of these of whoever calls from the same machine.
FORGED = [
    {"X-Forwarded-Proto": "https"},
    {"X-Forwarded-Protocol": "ssl"},
    {"X-Forwarded-SSL": "on"},
    {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9"},
    {"SCRIPT-NAME": "/elsewhere"},
    {"SCRIPT_NAME": "/elsewhere"},
]


@pytest.mark.django_db(transaction=True)
def test_without_a_proxy_of_ours_a_visitor_on_this_machine_forges_neither_scheme_nor_path(
    s3, tmp_path
):
    (spool := tmp_path / "spool").mkdir()
    everybody = {"FORWARDED_ALLOW_IPS": "*"}  # what a platform, or a shell, may have set
    with Server(s3.bucket, spool, TRUSTED_PROXIES="0", **everybody) as server:
        for forged in FORGED:
            with closing(HTTPConnection("127.0.0.1", server.port, timeout=30)) as http:
                http.request("PUT", "/a.txt", b"1", forged)
                answer = http.getresponse()
                assert answer.status == 201, forged
                link = answer.read().decode()
            upload = Upload.objects.latest("created_at")
            assert link == f"http://127.0.0.1:{server.port}{upload.file_address}\n", forged
