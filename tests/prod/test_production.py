"""`.env.production`: what is missing, a developer's or local is named; secrets are not shown."""

import shutil
from pathlib import Path

import pytest

from ops import envfile, production_values

GOOD = {
    "SETTINGS_MODULE_PATH": "s3tasks.settings.production",
    "SECRET_KEY": "a-long-word-for-the-tests-that-signs-nothing-of-anybody",
    "ALLOWED_HOSTS": "drop.example.org,.example.com",
    "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "hidden-away",
    "AWS_STORAGE_BUCKET_NAME": "drop-uploads",
}


@pytest.fixture(autouse=True)
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout without `.env`."""
    shutil.copy2(envfile.TEMPLATE, tmp_path / ".env.var")
    monkeypatch.setattr(envfile, "ROOT", tmp_path)
    return tmp_path


def test_nothing_is_wrong_with_production_values() -> None:
    assert production_values.problems(GOOD) == []
    elsewhere = {**GOOD, "AWS_S3_ENDPOINT_URL": "https://s3.example.net:9000"}
    assert production_values.problems(elsewhere) == []


@pytest.mark.parametrize(
    "name", ["SECRET_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_STORAGE_BUCKET_NAME"]
)
def test_what_is_missing_is_named_with_its_meaning(name: str) -> None:
    env = {key: value for key, value in GOOD.items() if key != name}

    (sentence,) = production_values.problems(env)

    assert sentence.startswith(f"{name} is missing: ")
    assert sentence.partition(": ")[2] in production_values.meanings()[name]


def test_without_s3_its_keys_are_not_asked_for() -> None:
    assert production_values.problems({"SECRET_KEY": GOOD["SECRET_KEY"], "USE_S3": "False"}) == []


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("DEBUG", "True", "DEBUG is on"),
        ("DEBUG", "1", "DEBUG is on"),
        ("DEBUG", "YES", "DEBUG is on"),
        ("SECRET_KEY", "tests", "SECRET_KEY is shorter than 50"),
        ("SECRET_KEY", "changeme" * 8, "SECRET_KEY could be guessed"),
        ("SECRET_KEY", "k" * 64, "SECRET_KEY could be guessed"),
        ("SECRET_KEY", "django-insecure-" + "0123456789" * 4, "SECRET_KEY could be guessed"),
        ("ALLOWED_HOSTS", "*", "ALLOWED_HOSTS admits every name"),
        ("ALLOWED_HOSTS", "drop.example.org,*", "ALLOWED_HOSTS admits every name"),
        ("SETTINGS_MODULE_PATH", "other.settings", "SETTINGS_MODULE_PATH in .env.production: exp"),
        ("AWS_S3_ENDPOINT_URL", "https://[", "AWS_S3_ENDPOINT_URL names no host"),
        ("SETTINGS_MODULE_PATH", "s3tasks.settings.development", "is development's"),
        ("RELOAD", "1", "RELOAD is for a developer's machine"),
        ("SECRET_KEY", "short", "SECRET_KEY is shorter than 50"),
        ("ALLOWED_HOSTS", "drop.example.org,localhost", "ALLOWED_HOSTS names localhost"),
        ("ALLOWED_HOSTS", "127.0.0.1", "ALLOWED_HOSTS names 127.0.0.1"),
        ("ALLOWED_HOSTS", "[::1]", "ALLOWED_HOSTS names ::1"),
        ("ALLOWED_HOSTS", "laptop.local", "ALLOWED_HOSTS names laptop.local"),
        ("SITE_ADDRESS", "192.168.1.7:8443", "SITE_ADDRESS names 192.168.1.7"),
        (
            "DATABASE_URL",
            "postgres://u:hidden-away@postgres/s3tasks",
            "DATABASE_URL names postgres",
        ),
        ("REDIS_URL", "redis://redis:6379/0", "REDIS_URL names redis"),
        ("AWS_S3_ENDPOINT_URL", "https://minio:9000", "AWS_S3_ENDPOINT_URL names minio"),
        (
            "AWS_S3_PUBLIC_ENDPOINT_URL",
            "https://localhost:9000",
            "PUBLIC_ENDPOINT_URL names localh",
        ),
        ("AWS_S3_ENDPOINT_URL", "http://s3.example.net", "by http://"),
        ("FLOWER_BASIC_AUTH", "hidden-away", "FLOWER_BASIC_AUTH in .env.production must be"),
    ],
)
def test_a_wrong_value_is_named_without_showing_a_secret(name: str, value: str, said: str) -> None:
    found = production_values.problems({**GOOD, name: value})

    assert len(found) == 1, found
    assert said in found[0]
    assert "hidden-away" not in found[0]


@pytest.mark.parametrize("name", sorted(production_values.secrets()))
def test_a_secret_of_this_machine_is_refused(checkout: Path, name: str) -> None:
    value = GOOD.get(name, "user:password")
    (checkout / ".env").write_text(f"{name}={value}\n")

    found = production_values.problems({**GOOD, name: value})

    assert [sentence for sentence in found if sentence.startswith(f"{name} is the one of .env")]
    assert value not in " ".join(found)


def test_a_new_env_is_no_production() -> None:
    made = envfile.ROOT / "made"
    envfile.complete(made)

    found = " ".join(production_values.problems(envfile.read(made)))

    assert "DEBUG is on" in found
    assert "SETTINGS_MODULE_PATH is development's" in found
