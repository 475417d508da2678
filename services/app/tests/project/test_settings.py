"""How a process starts: what it refuses, what it assumes, and what it serves in production."""

import os
import subprocess
import sys

import pytest
from decouple import RepositoryEnv

from support import APP, ROOT

PRODUCTION = {
    "SETTINGS_MODULE_PATH": "",  # no word means production
    "SECRET_KEY": "a-long-word-for-the-tests-that-signs-nothing-of-anybody",
    "ALLOWED_HOSTS": "drop.example",
    "DATABASE_URL": "postgres://db.example/s3tasks",
    "REDIS_URL": "redis://redis.example",
    "USE_S3": "True",
    "AWS_STORAGE_BUCKET_NAME": "bucket",
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_S3_ENDPOINT_URL": "",
    "AWS_S3_PUBLIC_ENDPOINT_URL": "",
    "TRUSTED_PROXIES": "1",
}


def manage(*command: str, **values: str) -> subprocess.CompletedProcess[str]:
    """`manage.py` in production, but for these variables."""
    environment = {
        k: v for k, v in os.environ.items() if k not in ("DJANGO_SETTINGS_MODULE", "DYNO")
    }
    environment |= {"DEBUG": "", **PRODUCTION, **values}
    return subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=APP,
        env=environment,
        capture_output=True,
        text=True,
    )


def test_production_with_every_secret_passes_the_deployment_checks():
    done = manage("check", "--deploy", "--fail-level", "WARNING")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "name",
    [
        "SECRET_KEY",
        "ALLOWED_HOSTS",
        "DATABASE_URL",
        "REDIS_URL",
        "AWS_STORAGE_BUCKET_NAME",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
    ],
)
def test_production_refuses_to_start_without_it_and_names_it(name):
    done = manage("check", **{name: ""})
    assert done.returncode != 0
    assert f"{name} is missing" in done.stderr


@pytest.mark.parametrize("value", ["True", "true", "1", "yes", "YES", " True "])
def test_production_refuses_debug_however_it_is_written(value):
    done = manage("check", DEBUG=value)
    assert done.stderr == "DEBUG=True shows code and settings to everybody: leave it blank\n"


@pytest.mark.parametrize(
    "value",
    [
        "tests",
        "s3cret",
        "k" * 64,
        "abcd" * 16,
        "changeme" * 8,
        "django-insecure-0123456789abcdefghijklmnopqrstuvwxyzABCDEF",
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLM",  # 49
    ],
)
def test_production_refuses_a_key_that_could_be_guessed(value):
    done = manage("check", SECRET_KEY=value)
    assert done.returncode != 0
    assert "SECRET_KEY is too short or could be guessed: 50 random letters" in done.stderr
    assert value not in done.stderr


@pytest.mark.parametrize("value", ["*", "drop.example,*", ".", "*.", " * "])
def test_production_refuses_to_answer_to_every_name(value):
    assert "ALLOWED_HOSTS admits every name" in manage("check", ALLOWED_HOSTS=value).stderr


@pytest.mark.parametrize("value", ["s3tasks.settings", "other.settings.production", "development"])
def test_other_settings_are_refused(value):
    done = manage("check", SETTINGS_MODULE_PATH=value)
    assert done.stderr.startswith(f"SETTINGS_MODULE_PATH={value}: expected ")


def test_hsts_is_for_this_host_only():
    command = "from django.conf import settings as s; print(s.SECURE_HSTS_SECONDS,"
    command += " s.SECURE_HSTS_INCLUDE_SUBDOMAINS, s.SECURE_HSTS_PRELOAD)"
    said = manage("shell", "--no-imports", "--command", command).stdout
    assert said.split() == [str(365 * 24 * 60 * 60), "False", "False"]


@pytest.mark.parametrize("command", ["check", "migrate", "release", "nothing", "help"])
def test_no_command_answers_a_wrong_variable_with_a_traceback(command):
    done = manage(command, UPLOAD_TTL="soon")
    assert "Traceback" not in done.stdout + done.stderr
    if command != "help":  # which then leaves the project's own commands out
        assert done.returncode != 0
        assert "UPLOAD_TTL=soon: expected a whole number from 1 to 86400" in done.stderr


# What anybody may have put behind a name, and what nobody would.
VALUES = r"""
import os, random, runpy, sys
from django.core.exceptions import ImproperlyConfigured
good, names = eval(sys.stdin.read())
dice = random.Random(20)
odd = ["0", "-1", "1" * 5000, "1e9", "\u00b2", "\u0663", "True", "*", ".", ",", " ", "[", "://",
       "http://[", "postgres://", "postgres://h:port/n", "mysql://h/n", "redis://h:99999", "\udc80",
       "%zz", "a b", "http://h:0", "\x1b[0m", "x" * 9000, "http://\uff0e", "postgres://u:p@ss/w#rd@h/n?a=%"]
for number in range(400):
    values = {name: dice.choice(odd) for name in dice.sample(names, dice.choice([1, 1, 1, 4]))}
    os.environ.update(good), os.environ.update(values)
    module = dice.choice(["production", "development"])
    try:
        runpy.run_module("s3tasks.settings." + module)
    except ImproperlyConfigured as error:
        assert any(name in str(error) for name in values), (values, error)
        assert len(str(error).splitlines()) == 1, (values, error)
    except BaseException as error:
        raise AssertionError(values) from error
    for name in values:
        del os.environ[name]
"""


def test_whatever_a_variable_holds_it_is_named_in_one_sentence():
    names = [name for name in RepositoryEnv(str(ROOT / ".env.var")).data if name != "DEBUG"]
    done = subprocess.run(
        [sys.executable, "-c", VALUES],
        cwd=APP,
        env={"PATH": os.environ["PATH"], "PYTHONUTF8": "1"},
        input=repr((PRODUCTION, names)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_production_without_a_trusted_proxy_is_warned_of_endless_redirects():
    assert "s3tasks.W001" in manage("check", TRUSTED_PROXIES="0").stderr


def test_a_dyno_refuses_local_disk():
    done = manage("check", USE_S3="False", DYNO="web.1")
    assert done.returncode != 0
    assert "(s3tasks.E001) USE_S3=False on Heroku" in done.stderr
    assert manage("check", USE_S3="False").returncode == 0
    assert manage("check", DYNO="web.1").returncode == 0


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("UPLOAD_TTL", "soon", "a whole number from 1"),
        ("UPLOAD_TTL", "86401", "to 86400"),
        ("IMAGES_KEPT", "0", "a whole number from 1"),
        ("USE_S3", "maybe", "True or False"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(name, value, allowed):
    done = manage("check", **{name: value})
    assert f"{name}={value}: expected" in done.stderr
    assert allowed in done.stderr


def test_static_files_are_hashed_compressed_and_cached_for_ever(tmp_path):
    done = manage(
        "shell",
        "--no-imports",
        "--command",
        f"""
from django.conf import settings
settings.STATIC_ROOT = {str(tmp_path)!r}
from django.core.management import call_command
call_command("collectstatic", interactive=False, verbosity=0)
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.wsgi import get_wsgi_application
from django.test import Client
url = staticfiles_storage.url("pages/style.css")
client = Client(headers={{"host": "drop.example", "accept-encoding": "gzip"}})
answer = client.get(url, secure=True)
print(url, answer.status_code, answer["Cache-Control"], answer["Content-Encoding"])
""",
    )
    assert done.returncode == 0, done.stderr
    url, status, *caching, encoding = done.stdout.split()
    assert url != "/static/pages/style.css"
    assert status == "200"
    assert "immutable" in " ".join(caching)
    assert encoding == "gzip"


@pytest.mark.parametrize(
    ("proxies", "forwarded", "secure", "address"),
    [
        ("1", "203.0.113.9", True, "203.0.113.9"),
        ("1", "forged, 203.0.113.9", True, "203.0.113.9"),
        ("2", "forged, 203.0.113.9, 198.51.100.1", True, "203.0.113.9"),
        ("0", "203.0.113.9", False, "127.0.0.1"),
        ("1", "forged:1, 203.0.113.9:567", True, "203.0.113.9"),
    ],
)
def test_only_proxies_of_ours_decide_address_and_scheme(proxies, forwarded, secure, address):
    done = manage(
        "shell",
        "--no-imports",
        "--command",
        f"""
from django.http import HttpResponse
from django.test import RequestFactory
from s3tasks.web.proxies import TrustedProxiesMiddleware
answer = TrustedProxiesMiddleware(
    lambda request: HttpResponse(f"{{request.is_secure()}} {{request.META['REMOTE_ADDR']}}")
)
headers = {{"x-forwarded-for": {forwarded!r}, "x-forwarded-proto": "https"}}
print(answer(RequestFactory(headers=headers).get("/")).content.decode())
""",
        TRUSTED_PROXIES=proxies,
    )
    assert done.stdout.split() == [str(secure), address], done.stderr


def test_a_largest_file_beyond_one_share_is_warned_of(settings):
    from s3tasks import checks

    settings.MAX_TOTAL_BYTES = 20 * settings.MAX_FILE_BYTES
    assert checks.check_largest_file_fits_a_share() == []
    settings.MAX_TOTAL_BYTES -= 1
    (warning,) = checks.check_largest_file_fits_a_share()
    assert warning.id == "s3tasks.W002"
